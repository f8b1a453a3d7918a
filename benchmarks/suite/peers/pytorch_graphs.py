"""PyTorch with CUDA graphs: those that `torch.compile` makes, and hand-made ones of one step or many."""

from __future__ import annotations

from typing import Any

import torch

from suite.contestants import graph_length
from suite.peers.pytorch import Trainer, make_optimizer

WARM_UP = 3  # steps before a capture, as PyTorch's notes on graphs ask for


class Loss(torch.nn.Module):
    """The loss of some rows. The data are buffers, for `torch.compile` copies other inputs of a graph at each call."""

    def __init__(self, model: Any, x: Any, t: Any) -> None:
        super().__init__()
        self.model, self.loss = model, torch.nn.CrossEntropyLoss()
        self.register_buffer("x", x)
        self.register_buffer("t", t)

    def forward(self, rows: Any) -> Any:
        return self.loss(self.model(self.x[rows]), self.t[rows])


class Compiled(Trainer):
    """The loss with its gradient is compiled; the fused optimizer is a kernel of its own and stays eager."""

    path = "compile, reduce-overhead"

    def __init__(self, task: Any) -> None:
        super().__init__(task)
        torch._dynamo.reset()  # it gives up, in silence, after some compilations of the same code
        self.compiled: Any = None

    def start(self, steps: int, shuffle: bool) -> None:
        if self.compiled is None:
            super().start(steps, shuffle)
            whole = Loss(self.model, self.x, self.t)
            self.compiled = torch.compile(whole, mode="reduce-overhead", fullgraph=True, dynamic=False)
        else:
            keep_modules_but_restart(self, steps)

    def step(self, rows: Any) -> None:
        torch.compiler.cudagraph_mark_step_begin()
        loss = self.compiled(rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


class Graphed(Trainer):
    """Graphs of `length` steps, and of one for what is left of a pass."""

    def __init__(self, task: Any, length: int) -> None:
        super().__init__(task)
        self.length = graph_length(task.case, length)
        self.path = f"graph of {self.length} steps" if self.length > 1 else "graph of a step"
        super().start(1, False)
        self.optimizer = make_optimizer(self.model.parameters(), task.case.optimizer, task.rate, capturable=True)
        self.static_order = torch.arange(self.length * task.case.batch, device=task.device).view(self.length, -1)
        self.warm_up()
        self.graphs = {steps: self.captured(steps) for steps in {self.length, 1}}

    def warm_up(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.step(self.static_order[0])
        torch.cuda.current_stream().wait_stream(stream)

    def captured(self, steps: int) -> Any:
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)  # so that the gradients' memory is the graph's
        with torch.cuda.graph(graph):
            for k in range(steps):
                self.step(self.static_order[k])
        return graph

    def start(self, steps: int, shuffle: bool) -> None:
        keep_modules_but_restart(self, steps)
        self.batches = self.order.view(steps, -1)

    def run(self) -> None:
        done, steps = 0, len(self.batches)
        while done < steps:
            count = self.length if steps - done >= self.length else 1
            self.static_order[:count].copy_(self.batches[done : done + count])
            self.graphs[count].replay()
            done += count
        self.wait()


def keep_modules_but_restart(trainer: Any, steps: int) -> None:
    """Initial weights and an optimizer that knows nothing, in the memory that the graphs use."""
    trainer.order = torch.arange(steps * trainer.task.case.batch, device=trainer.task.device)
    trainer.shuffle = False
    with torch.no_grad():
        for parameter, value in zip(trainer.model.parameters(), trainer.task.weights, strict=True):
            parameter.copy_(torch.from_numpy(value))
        for state in trainer.optimizer.state.values():
            for part in state.values():
                if part is not None:
                    part.zero_()
