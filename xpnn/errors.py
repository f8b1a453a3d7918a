"""What can go wrong by no fault of xpnn's: each error's text is the one line that a user needs.

The command line prints the text and exits with 1; from Python the errors are ordinary exceptions.
A wrong argument (a misspelt activation, a negative batch size) is a plain ValueError or TypeError.
"""

from __future__ import annotations

from os import PathLike
from typing import TypeAlias

Path: TypeAlias = str | PathLike[str]


LONGEST_PATH = 500  # characters; one inside an archive may have a thousand times as many


def in_one_line(text: str) -> str:
    """With what no terminal should get, such as a file's name may hold, spelt out."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class XpnnError(Exception):
    """Something outside the program is not as it must be; the text says what, where and the remedy.

    It is one line, whatever a file's name or its content puts into it.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(in_one_line(text))


class DeviceError(XpnnError):
    """The device that was asked for can't be used, or it failed in the middle of work."""


class DataError(XpnnError, ValueError):
    """Data is missing, damaged or not what it must be.

    The text reads ``FILE, line L, column C: problem``; lines and columns count from 1.
    """

    def __init__(
        self, problem: str, path: Path | None = None, *, line: int | None = None, column: int | None = None
    ) -> None:
        name = "" if path is None else str(path)
        place = [name if len(name) <= LONGEST_PATH else f"{name[:LONGEST_PATH]}…"] if name else []
        if line is not None:
            place.append(f"line {line}")
        if column is not None:
            place.append(f"column {column}")
        super().__init__(f"{', '.join(place)}: {problem}" if place else problem)
        self.path, self.line, self.column = path, line, column


class ModelFileError(XpnnError):
    """A model file is missing, damaged, or holds something that is not an xpnn model."""


class DivergenceError(XpnnError):
    """Training produced a loss that is not a number or infinite."""
