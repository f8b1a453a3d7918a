"""Reading the data sets that are known by name, each as a net should see it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from xpnn.data.catalogue import CATALOGUE
from xpnn.data.idx import read_idx
from xpnn.data.npz import read_npz
from xpnn.data.parts import Parts
from xpnn.data.places import find, present_files
from xpnn.data.usps import IMAGE_SHAPE, read_usps
from xpnn.errors import DataError
from xpnn.errors import Path as AnyPath
from xpnn.samples import Samples


def read_named(name: str, limit: int | None = None) -> Parts:
    """Read a data set of the catalogue, all of it or only the first `limit` training rows.

    Raises DataError if it isn't there, which says how to get it, or if it is damaged. Nothing is downloaded.
    """
    paths = list(find(name).values())
    try:
        return _read(name, paths, limit)
    except DataError as error:
        if not CATALOGUE[name].mirrors:
            raise
        raise DataError(f"{error} (`xpnn data get {name}` downloads what is not as published)") from error


def _read(name: str, paths: list[Path], limit: int | None) -> Parts:
    labels = CATALOGUE[name].labels
    if name == "digits":
        return Parts(*_read_digits(paths[0], limit), (8, 8), labels)
    if name == "usps":
        return Parts(read_usps(paths[0], limit=limit), read_usps(paths[1]), IMAGE_SHAPE, labels)
    train, test, image_shape = _read_images(paths[0], paths[1], limit)
    if name.startswith("emnist-"):
        train, test = _upright(train, image_shape), _upright(test, image_shape)
    if name == "emnist-letters":
        train, test = _from_zero(train, paths[2]), _from_zero(test, paths[3])
    return Parts(train, test, image_shape, labels)


def is_mnist(folder: AnyPath) -> bool:
    """Whether any of MNIST's four files is in the folder."""
    return bool(present_files(Path(folder), CATALOGUE["mnist"]))


def read_mnist(folder: AnyPath, limit: int | None = None) -> Parts:
    """Read a folder of four files that are named as MNIST's are, gzipped or not, with - or . before idx.

    Raises DataError naming the files if any of them is missing or damaged.
    """
    try:
        os.listdir(folder)
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror}", folder) from error
    paths = present_files(Path(folder), CATALOGUE["mnist"])
    names = [file.name.removesuffix(".gz") for file in CATALOGUE["mnist"].files]
    for name in names:
        if f"{name}.gz" not in paths:
            every = f"{', '.join(names[:-1])} and {names[-1]}, each with or without .gz"
            raise DataError(f"{name} is missing: a folder of data must hold {every}", folder)
    train, test, *_ = paths.values()
    return Parts(*_read_images(train, test, limit, may_stay=True))


def _read_images(
    train_path: Path, test_path: Path, limit: int | None, may_stay: bool = False
) -> tuple[Samples, Samples, tuple[int, int]]:
    train, image_shape = read_idx(train_path, limit=limit, may_stay=may_stay)
    test, test_shape = read_idx(test_path, may_stay=may_stay)
    if test_shape != image_shape:
        sizes = (
            f"{image_shape[0]} x {image_shape[1]} pixels for training, {test_shape[0]} x {test_shape[1]} for the test"
        )
        raise DataError(f"the images differ in size: {sizes}", train_path.parent)
    return train, test, image_shape


def _read_digits(path: Path, limit: int | None) -> tuple[Samples, Samples]:
    """Within each class every fifth example is for the test: fixed, and with each class's share kept."""
    samples, _, _ = read_npz(path)
    is_test = np.zeros(len(samples), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(samples.targets == label)[4::5]] = True
    levels = np.rint(np.arange(17) * (255 / 16)).astype(np.uint8)  # published as 0 to 16
    samples = Samples(levels[samples.inputs], samples.targets)
    return samples.take(~is_test).take(slice(limit)), samples.take(is_test)


def _upright(samples: Samples, image_shape: tuple[int, int]) -> Samples:
    """EMNIST's pictures, which are published column by column, row by row; they are square."""
    columns = samples.inputs.reshape(len(samples), *image_shape)
    return Samples(columns.transpose(0, 2, 1).reshape(samples.inputs.shape), samples.targets)


def _from_zero(samples: Samples, path: Path) -> Samples:
    """The labels of EMNIST's letters, which are published as 1 to 26."""
    labels = np.asarray(samples.targets)
    wrong = np.flatnonzero((labels < 1) | (labels > 26))
    if wrong.size:
        found = f"label {labels[wrong[0]]} in row {wrong[0]}, counted from 0"
        raise DataError(f"{found}: EMNIST's letters are 1 to 26; fetch the files again", path)
    return Samples(samples.inputs, labels - 1)
