"""What is timed: `784-200-10 b32 adam` is a step of training, `784-200-10 one-row` an answer."""

from __future__ import annotations

from dataclasses import dataclass

BATCHES = (1, 8, 32, 128, 1024)
OPTIMIZERS = ("sgd", "momentum", "adam")
NETS = ("784-200-10", "784-1024-1024-10", "64-32-10")
QUERIES = {"one-row": 1, "bulk": 10_000}  # rows of a question
EPOCH_ROWS = 60_000


@dataclass(frozen=True)
class Case:
    """A net, and either a batch size and an optimizer or a question of so many rows.

    The nets have ReLU units, softmax outputs, biases and the mean cross-entropy of a batch. The optimizer "seed" is
    the textbooks' first network instead: see `suite.reference.train_textbook`.
    """

    sizes: tuple[int, ...]
    batch: int
    optimizer: str

    @property
    def is_query(self) -> bool:
        return self.optimizer in QUERIES

    @property
    def rate(self) -> float:
        """Small enough that rounding doesn't grow during the check, large enough that 1 % more of it shows."""
        if self.optimizer == "seed":
            return 0.1
        if self.optimizer == "adam":
            return 0.001 if self.batch < 1024 else 0.0001
        return (0.1 if self.batch >= 32 else 0.01) * (0.1 if self.optimizer == "momentum" else 1.0)

    def __str__(self) -> str:
        net = "-".join(map(str, self.sizes))
        return f"{net} {self.optimizer}" if self.is_query else f"{net} b{self.batch} {self.optimizer}"


def parse_case(text: str) -> Case:
    """The case of that name. Raises ValueError for what is none."""
    words = text.split()
    kinds = ", ".join((*OPTIMIZERS, "seed"))
    problem = ValueError(f"a case is a net, a batch and one of {kinds}, or a net and one-row or bulk; not {text!r}")
    if len(words) not in (2, 3) or not all(part.isdigit() and int(part) for part in words[0].split("-")):
        raise problem
    sizes = tuple(map(int, words[0].split("-")))
    if len(words) == 2 and words[1] in QUERIES and len(sizes) > 1:
        return Case(sizes, QUERIES[words[1]], words[1])
    batch = words[1].removeprefix("b")
    if len(words) != 3 or words[2] not in (*OPTIMIZERS, "seed") or not batch.isdigit() or not 1 <= int(batch) <= 1024:
        raise problem
    if sizes[0] not in (784, 64) or sizes[-1] != 10 or (words[2] == "seed" and (batch != "1" or len(sizes) != 3)):
        raise problem
    return Case(sizes, int(batch), words[2])


def all_cases() -> list[Case]:
    names = [f"{net} b{batch} {optimizer}" for net in NETS for optimizer in OPTIMIZERS for batch in BATCHES]
    names += ["784-200-10 b1 seed", *(f"{net} {query}" for net in NETS for query in QUERIES)]
    return list(map(parse_case, names))


def quick_cases() -> list[Case]:
    names = ["784-200-10 b1 seed", "784-200-10 b1 sgd", "784-200-10 b32 sgd", "784-200-10 b128 adam"]
    return list(map(parse_case, [*names, "64-32-10 b32 adam", "784-200-10 one-row", "784-200-10 bulk"]))
