"""What is timed: `784-200-10 b32 adam` is a step of training, `784-200-10 one-row` an answer.

`784-200-10 b32 adam tf32` is the step with matrix products of TF32, on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

BATCHES = (1, 8, 32, 128, 1024)
OPTIMIZERS = ("sgd", "momentum", "adam")
NETS = ("784-200-10", "784-1024-1024-10", "64-32-10")
QUERIES = {"one-row": 1, "bulk": 10_000}  # rows of a question
EPOCH_ROWS = 60_000
PRECISIONS = ("float32", "tf32")  # of the matrix products; all else is float32
SMALL, LARGE = "784-200-10", "784-2500-2000-1500-1000-500-10"  # the nets of `benchmarks/gpu.py`


@dataclass(frozen=True)
class Case:
    """A net, and either a batch size and an optimizer or a question of so many rows.

    The nets have ReLU units, softmax outputs, biases and the mean cross-entropy of a batch. The optimizer "seed" is
    the textbooks' first network instead: see `suite.reference.train_textbook`.
    """

    sizes: tuple[int, ...]
    batch: int
    optimizer: str
    precision: str = "float32"

    @property
    def is_query(self) -> bool:
        return self.optimizer in QUERIES

    @property
    def epoch_steps(self) -> int:
        """Whole batches in an epoch; the rows that don't fill one are left out."""
        return EPOCH_ROWS // self.batch

    @property
    def rate(self) -> float:
        """Small enough that rounding doesn't grow during the check, large enough that 1 % more of it shows."""
        if self.optimizer == "seed":
            return 0.1
        if self.optimizer == "adam":
            return 0.001 if self.batch < 1024 else 0.0001
        if len(self.sizes) > 4:  # rounding decides about some of its very many ReLUs, which is 1 % of the weights' way
            return 0.002
        return (0.1 if self.batch >= 32 else 0.01) * (0.1 if self.optimizer == "momentum" else 1.0)

    def __str__(self) -> str:
        net = "-".join(map(str, self.sizes))
        words = (net, self.optimizer) if self.is_query else (net, f"b{self.batch}", self.optimizer)
        return " ".join(words if self.precision == "float32" else (*words, self.precision))


def parse_case(text: str) -> Case:
    """The case of that name. Raises ValueError for what is none."""
    words = text.split()
    precision = words.pop() if len(words) == 4 and words[3] in PRECISIONS else PRECISIONS[0]
    kinds = ", ".join((*OPTIMIZERS, "seed"))
    problem = ValueError(f"a case is a net, a batch and one of {kinds}, or a net and one-row or bulk; not {text!r}")
    if len(words) not in (2, 3) or not all(part.isdigit() and int(part) for part in words[0].split("-")):
        raise problem
    sizes = tuple(map(int, words[0].split("-")))
    if len(words) == 2 and words[1] in QUERIES and len(sizes) > 1:
        return Case(sizes, QUERIES[words[1]], words[1])
    batch = words[1].removeprefix("b")
    if len(words) != 3 or words[2] not in (*OPTIMIZERS, "seed") or not batch.isdigit() or not 1 <= int(batch) <= 8192:
        raise problem
    if sizes[0] not in (784, 64) or sizes[-1] != 10 or (words[2] == "seed" and (batch != "1" or len(sizes) != 3)):
        raise problem
    return Case(sizes, int(batch), words[2], precision)


def all_cases() -> list[Case]:
    names = [f"{net} b{batch} {optimizer}" for net in NETS for optimizer in OPTIMIZERS for batch in BATCHES]
    names += ["784-200-10 b1 seed", *(f"{net} {query}" for net in NETS for query in QUERIES)]
    return list(map(parse_case, names))


def quick_cases() -> list[Case]:
    names = ["784-200-10 b1 seed", "784-200-10 b1 sgd", "784-200-10 b32 sgd", "784-200-10 b128 adam"]
    return list(map(parse_case, [*names, "64-32-10 b32 adam", "784-200-10 one-row", "784-200-10 bulk"]))


def gpu_cases(quick: bool = False) -> list[Case]:
    """Those that say most come first: what there is no time for is left out from the end.

    Single rows aren't repeated in TF32, for their products are none of a matrix with a matrix.
    """
    if quick:
        return list(map(parse_case, [f"{SMALL} b128 sgd", f"{SMALL} b32 adam", f"{SMALL} b128 sgd tf32"]))
    names = [f"{SMALL} b128 sgd", f"{SMALL} b1 sgd", f"{SMALL} b32 sgd", f"{LARGE} b128 sgd", f"{SMALL} b8192 sgd"]
    names += [f"{LARGE} b8192 sgd", f"{SMALL} b128 adam", f"{SMALL} b1024 sgd"]
    names += [f"{SMALL} b{batch} adam" for batch in (32, 1024, 8192)]
    return list(map(parse_case, [*names, *(f"{name} tf32" for name in names if " b1 " not in name)]))
