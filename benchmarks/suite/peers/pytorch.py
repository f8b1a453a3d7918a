"""PyTorch, eager, with the fused optimizers; on a GPU also compiled and in graphs: see `suite.peers.pytorch_graphs`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from suite.accuracy import SIZES, Settings, read_mnist
from suite.data import float_inputs
from suite.peers.chunks import quickest_chunk
from suite.reference import EPSILON, MOMENTUM


def version() -> str:
    return f"PyTorch {torch.__version__}{f' for CUDA {torch.version.cuda}' if torch.version.cuda else ''}"


def make_model(task: Any) -> Any:
    if task.threads:
        torch.set_num_threads(task.threads)
    modules: list[Any] = []
    for n_in, n_out in pairwise(task.case.sizes):
        modules += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), task.weights, strict=True):
            parameter.copy_(torch.from_numpy(value))
    return model.to(task.device)


def make_optimizer(parameters: Any, kind: str, rate: float, capturable: bool = False) -> Any:
    if kind == "adam":
        return torch.optim.Adam(parameters, rate, eps=EPSILON, fused=True, capturable=capturable)
    return torch.optim.SGD(parameters, rate, momentum=MOMENTUM if kind == "momentum" else 0.0, fused=True)


class Trainer:
    path = "eager, fused optimizer"

    def __init__(self, task: Any) -> None:
        torch.set_float32_matmul_precision("high" if task.case.precision == "tf32" else "highest")
        self.task, self.loss = task, torch.nn.CrossEntropyLoss()
        self.x, self.t = torch.from_numpy(float_inputs(task.inputs)), torch.from_numpy(task.labels)
        if task.device != "cpu":
            self.x, self.t = self.x.to(task.device), self.t.to(task.device)

    def start(self, steps: int, shuffle: bool) -> None:
        self.n, self.shuffle = steps * self.task.case.batch, shuffle
        self.order = torch.arange(self.n, device=self.task.device)
        self.model = make_model(self.task)
        self.optimizer = make_optimizer(self.model.parameters(), self.task.case.optimizer, self.task.rate)

    def run(self) -> None:
        order = torch.randperm(self.n, device=self.task.device) if self.shuffle else self.order
        for rows in order.split(self.task.case.batch):
            self.step(rows)
        self.wait()

    def step(self, rows: Any) -> None:
        loss = self.loss(self.model(self.x[rows]), self.t[rows])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def wait(self) -> None:
        if self.task.device != "cpu":
            torch.cuda.synchronize()

    def result(self) -> list[Any]:
        return [parameter.detach().cpu().numpy() for parameter in self.model.parameters()]


class Predictor:
    def __init__(self, task: Any) -> None:
        self.model = make_model(task).append(torch.nn.Softmax(dim=1)).eval()
        self.x = float_inputs(task.inputs[: task.case.batch])
        self.chunk = quickest_chunk(self.answer, self.x)
        self.path = f"chunks of {self.chunk}"

    def answer(self, x: Any, chunk: int) -> Any:
        with torch.inference_mode():
            parts = [self.model(part).numpy() for part in torch.from_numpy(x).split(chunk)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def start(self, steps: int, shuffle: bool) -> None:
        self.run()

    def run(self) -> None:
        self.outputs = self.answer(self.x, self.chunk)

    def result(self) -> list[Any]:
        return [self.outputs]


def trainer(task: Any) -> Trainer:
    """Eager, or what the variant names: "compile", or "graph K" of K steps."""
    if not task.variant:
        return Trainer(task)
    from suite.peers.pytorch_graphs import Compiled, Graphed

    return Compiled(task) if task.variant == "compile" else Graphed(task, int(task.variant.removeprefix("graph ")))


predictor = Predictor


def accuracies(settings: Settings) -> Iterator[float]:
    """See `suite.accuracy`."""
    torch.manual_seed(settings.seed)
    x, t, test_x, test_t = (torch.from_numpy(rows).to(settings.device) for rows in read_mnist())
    model = torch.nn.Sequential(torch.nn.Linear(*SIZES[:2]), torch.nn.ReLU(), torch.nn.Linear(*SIZES[1:]))
    model = model.to(settings.device)
    optimizer, loss_of = torch.optim.Adam(model.parameters(), fused=True), torch.nn.CrossEntropyLoss()
    for epoch in range(settings.epochs):
        batches = torch.randperm(len(x), device=settings.device).split(settings.batch)
        rates = settings.rates(np.arange(len(batches)) + epoch * len(batches), len(batches))
        for rows, rate in zip(batches, rates.tolist(), strict=True):
            optimizer.param_groups[0]["lr"] = rate
            loss = loss_of(model(x[rows]), t[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            yield float((model(test_x).argmax(dim=1) == test_t).float().mean())
