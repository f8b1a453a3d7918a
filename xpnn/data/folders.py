"""Pictures in a folder for each class, on the disk or in a ZIP file, which is read as it is: nothing is unpacked.

    root/cat/1.png  root/dog/1.jpg            training samples of two classes
    root/train/cat/1.png  root/test/cat/...   training and test samples; without test, val is for the test

Names are the classes, in natural order: 9 before 10. Hidden files, and those that are no pictures by their names,
are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from xpnn.data.files import Progress, check_limit, check_unpacked, opened, read_up_to, shown
from xpnn.data.parts import MOST_CLASSES, Parts, natural_order
from xpnn.data.pictures import MOST_BYTES, decoded
from xpnn.data.zips import opened_zip
from xpnn.errors import DataError, Path
from xpnn.failures import first_line
from xpnn.samples import Samples

if TYPE_CHECKING:
    import zipfile

READ = (".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".webp")
NOT_READ = (".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm", ".heic", ".heif", ".avif", ".jp2", ".svg")
ROLES = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation", "dev"),
}
DEEPEST = 6  # folders below the root that are looked into; links may lead in circles
LAYOUT = "a folder for each class is needed, such as cat and dog, and may lie in train and test"


class Picture(NamedTuple):
    """A file: what errors call it, its folders and its name below the root, its bytes when needed, and its size."""

    path: str
    names: tuple[str, ...]
    read: Callable[[], bytes]
    size: int


def read_folder(
    path: Path, *, limit: int | None = None, labelled: bool = True, progress: Progress | None = None
) -> Parts:
    """Read the pictures in a folder, with the names of the folders that they lie in as their classes.

    limit:    read the first training pictures only, as many as this; those for the test are all read.
    labelled: if False, pictures may also lie in the folder itself, and the targets are None.
    progress: told after each picture how many of a part have been read, and how many it has.

    Returns inputs (n, height * width) uint8, see `pictures.decoded`; targets are numbers of the classes. The first
    pictures of all classes come first, then the second ones, so that the first rows are of all classes.
    Raises DataError naming the picture that can't be read, has another size than the first, or lies where it can't be
    of a class; ValueError if `limit` is less than 1.
    """
    check_limit(limit)
    return _parts(list(_listed(os.fspath(path), ())), path, limit, labelled, progress)


def read_zip(path: Path, *, limit: int | None = None, labelled: bool = True, progress: Progress | None = None) -> Parts:
    """Read the pictures of a ZIP file, without unpacking it on the disk. As `read_folder`.

    Raises DataError also for a picture that is encrypted, or larger than MOST_BYTES when it is unpacked.
    """
    check_limit(limit)
    with opened_zip(path) as archive:
        pictures = []
        for info in archive.infolist():
            names = tuple(name for name in info.filename.replace("\\", "/").split("/") if name not in {"", "."})
            if names and not info.is_dir() and not any(map(_is_hidden, names)):
                place = f"{os.fspath(path)}/{'/'.join(names)}"
                pictures.append(Picture(place, names, _reader(archive, info, place), info.compress_size))
        found = [picture for picture in pictures if _is_picture(picture.names[-1], picture.path)]
        if not found and pictures:
            there = ", ".join(shown(picture.names[-1]) for picture in pictures[:5])
            raise DataError(f"this ZIP file holds no pictures, but {there}: unpack it, and name the file in it", path)
        return _parts(found, path, limit, labelled, progress)


def holds_pictures(path: Path) -> bool:
    """Whether a ZIP file is none of NumPy's (NPZ); a damaged or empty one is what its name says.

    Raises DataError for an Excel workbook, which is a ZIP file too.
    """
    try:
        with opened_zip(path) as archive:
            names = archive.namelist()
    except DataError:
        return os.fspath(path).lower().endswith(".zip")
    if any(name.startswith("xl/") for name in names):
        raise DataError("this is an Excel workbook: save the sheet as a CSV file (CSV UTF-8), and give that", path)
    if not names:
        return os.fspath(path).lower().endswith(".zip")
    return not any(name.endswith(".npy") for name in names)


def _reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: str) -> Callable[[], bytes]:
    def read() -> bytes:
        if info.flag_bits & 1:
            raise DataError("it is encrypted: unpack the ZIP file with its password, and give the folder", place)
        if info.file_size <= MOST_BYTES:
            try:
                with archive.open(info) as member:
                    return _at_most(cast(BinaryIO, member), place)
            except DataError:
                raise
            except Exception as error:  # BadZipFile, zlib.error, EOFError, NotImplementedError, LZMAError, ...
                raise DataError(f"damaged ZIP file ({first_line(error)}): fetch it again", place) from error
        raise _too_large(place)

    return read


def _at_most(file: BinaryIO, place: str) -> bytes:
    content = read_up_to(file, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise _too_large(place)
    return bytes(content)


def _too_large(place: str) -> DataError:
    return DataError(f"more than {MOST_BYTES >> 20} MiB, too large for a picture: take it out", place)


def _listed(folder: str, names: tuple[str, ...]) -> Iterator[Picture]:
    """The pictures in a folder and in those below it."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.path, entry.is_dir(), _size(entry)) for entry in entries)
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", folder) from error
    for name, path, is_folder, size in found:
        if _is_hidden(name):
            continue
        if is_folder and len(names) < DEEPEST:
            yield from _listed(path, (*names, name))
        elif not is_folder and _is_picture(name, path):
            yield Picture(path, (*names, name), lambda path=path: _read_file(path), size)  # type: ignore[misc]


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nowhere
        return 0


def _read_file(path: str) -> bytes:
    with opened(path) as file:
        return _at_most(file, path)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_picture(name: str, path: str) -> bool:
    ending = os.path.splitext(name)[1].lower()
    if ending in NOT_READ:
        raise DataError(f"pictures of this kind ({ending}) are not read: convert them to PNG", path)
    return ending in READ


def _parts(pictures: list[Picture], path: Path, limit: int | None, labelled: bool, progress: Progress | None) -> Parts:
    """The pictures as samples."""
    if not pictures:
        raise DataError(f"there are no pictures ({', '.join(READ)}): {LAYOUT}", path)
    while all(len(p.names) > 2 for p in pictures) and len(tops := {p.names[0] for p in pictures}) == 1:
        if role_of(*tops):
            break
        pictures = [picture._replace(names=picture.names[1:]) for picture in pictures]  # a folder around all others
    if not labelled and all(len(picture.names) == 1 for picture in pictures):
        order = {name: number for number, name in enumerate(natural_order(p.names[0] for p in pictures))}
        pixels, shape = _decoded(sorted(pictures, key=lambda p: order[p.names[0]])[:limit], None, progress)
        return Parts(Samples(pixels), None, shape)
    roles = _by_role(pictures)
    role = next(role for role in ROLES if role in roles)
    train = roles[role]
    labels = natural_order(picture.names[-2] for picture in train)
    _check_labels(labels, path)
    samples, shape = _samples(train, labels, limit, None, progress)
    rest = roles.get("test") or roles.get("validation")
    test = None if rest is None or rest is train else _samples(rest, labels, None, shape, progress)[0]
    return Parts(samples, test, shape, labels, numbered=labels == tuple(map(str, range(len(labels)))), role=role)


def _by_role(pictures: Iterable[Picture]) -> dict[str, list[Picture]]:
    """The pictures for training, test and validation, each of which lies in a class's folder."""
    pictures = list(pictures)
    is_split = any(len(picture.names) > 2 and role_of(picture.names[0]) for picture in pictures)
    roles: dict[str, list[Picture]] = {}
    for picture in pictures:
        role = role_of(picture.names[0]) if is_split else "train"
        if role is None or len(picture.names) != 2 + is_split:
            wanted = "train/CLASS, test/CLASS or val/CLASS, as others do" if is_split else "CLASS"
            problem = (
                "the picture lies in no class's folder" if len(picture.names) < 2 + is_split else "it lies too deep"
            )
            raise DataError(f"{problem}: move it to {wanted}, or away; {LAYOUT}", picture.path)
        roles.setdefault(role, []).append(picture)
    return roles


def role_of(name: str) -> str | None:
    """What that which has this name is for, train, test or validation, if the name says it."""
    return next((role for role, names in ROLES.items() if name.lower() in names), None)


def _check_labels(labels: tuple[str, ...], path: Path) -> None:
    wrong = next((label for label in labels if not label.isprintable() or label == ".."), None)
    if wrong is not None:
        raise DataError(f"a class's folder is called {shown(wrong)}: give it a name of printable characters", path)
    if len(labels) > MOST_CLASSES:
        raise DataError(f"{len(labels):,} folders, but there can be {MOST_CLASSES:,} classes", path)


def _samples(
    pictures: list[Picture],
    labels: tuple[str, ...],
    limit: int | None,
    shape: tuple[int, int] | None,
    progress: Progress | None,
) -> tuple[Samples, tuple[int, int]]:
    """The first pictures of all classes, then the second ones, and so on, with the numbers of their classes."""
    place = {label: number for number, label in enumerate(labels)}
    order = {name: number for number, name in enumerate(natural_order(picture.names[-1] for picture in pictures))}
    queues: dict[str, list[Picture]] = {}
    for picture in sorted(pictures, key=lambda picture: order[picture.names[-1]]):
        if picture.names[-2] not in place:
            known = ", ".join(map(shown, labels[:20]))
            problem = f"no training picture is of the class {shown(picture.names[-2])}; the classes are {known}"
            raise DataError(problem, picture.path)
        queues.setdefault(picture.names[-2], []).append(picture)
    ranked = [(rank, place[label], picture) for label, queue in queues.items() for rank, picture in enumerate(queue)]
    ranked = sorted(ranked, key=lambda entry: entry[:2])[:limit]
    pixels, shape = _decoded([picture for _, _, picture in ranked], shape, progress)
    return Samples(pixels, np.array([number for _, number, _ in ranked], dtype=np.int64)), shape


def _decoded(
    pictures: list[Picture], shape: tuple[int, int] | None, progress: Progress | None
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The pixels, (n, height * width), and (height, width)."""
    first = decoded(pictures[0].read(), pictures[0].path, shape)
    height, width = first.shape
    packed = sum(picture.size for picture in pictures)
    check_unpacked(pictures[0].path, len(pictures) * height * width, "make the pictures smaller", packed)
    pixels = np.empty((len(pictures), height * width), dtype=np.uint8)
    pixels[0] = first.reshape(-1)
    for row, picture in enumerate(pictures[1:], 1):
        pixels[row] = decoded(picture.read(), picture.path, (height, width)).reshape(-1)
        if progress is not None:
            progress(row + 1, len(pictures))
    return pixels, (height, width)
