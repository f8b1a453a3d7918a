"""The data sets that are known by name: digits, which comes with xpnn, and mnist, which is looked for.

digits: "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository,
1998, doi 10.24432/C50P49, licence CC BY 4.0: 1797 digits of 8 x 8 pixels, made by benchmarks/make_digits.py.
"""

from __future__ import annotations

import importlib.resources
import os
from typing import NamedTuple

import numpy as np

from xpnn.data.idx import read_idx
from xpnn.data.npz import read_npz
from xpnn.errors import DataError, Path
from xpnn.samples import Samples

NAMES = ("digits", "mnist")
CLASSES = 10
DATA_VARIABLE = "XPNN_DATA_DIR"
MNIST_IMAGES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")
MNIST_FILES = (*MNIST_IMAGES, "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte")


class Parts(NamedTuple):
    """What a source of data holds: training samples, test samples if it has any, (height, width) of pictures."""

    train: Samples
    test: Samples | None
    image_shape: tuple[int, int] | None


def read_named(name: str, limit: int | None = None) -> Parts:
    """Read one of NAMES, all of it or only the first `limit` training rows. Raises DataError if it isn't there."""
    if name == "digits":
        return _read_digits(limit)
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        raise DataError(f"{name} is not found: set {DATA_VARIABLE} to the folder that holds {name}/ with {_files()}")
    path = os.path.join(os.path.expanduser(folder), name)
    if not os.path.isdir(path):
        raise DataError(
            f"no such folder: {DATA_VARIABLE} must name the folder that holds {name}/ with {_files()}", path
        )
    return read_mnist(path, limit)


def read_mnist(folder: Path, limit: int | None = None) -> Parts:
    """Read a folder of four files that are named as MNIST's are, gzipped or not, with - or . before idx.

    Raises DataError naming the files if any of them is missing or damaged.
    """
    try:
        present = os.listdir(folder)
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror}", folder) from error
    paths = []
    for name in MNIST_FILES:
        spellings = (name, name.replace("-idx", ".idx"))
        found = [file for spelling in spellings for file in (spelling, f"{spelling}.gz") if file in present]
        if not found:
            raise DataError(f"{name} is missing: a folder of data must hold {_files()}", folder)
        paths.append(os.path.join(folder, found[0]))
    train, image_shape = read_idx(paths[0], limit=limit)
    test, test_shape = read_idx(paths[1])
    if test_shape != image_shape:
        sizes = (
            f"{image_shape[0]} x {image_shape[1]} pixels for training, {test_shape[0]} x {test_shape[1]} for the test"
        )
        raise DataError(f"the images differ in size: {sizes}", folder)
    return Parts(train, test, image_shape)


def _read_digits(limit: int | None) -> Parts:
    """Within each class every fifth example is for the test: fixed, and with each class's share kept."""
    with importlib.resources.as_file(importlib.resources.files("xpnn.data") / "digits.npz") as path:
        samples, _, _ = read_npz(path)
    is_test = np.zeros(len(samples), dtype=bool)
    for label in range(CLASSES):
        is_test[np.flatnonzero(samples.targets == label)[4::5]] = True
    levels = np.rint(np.arange(17) * (255 / 16)).astype(np.uint8)  # published as 0 to 16
    samples = Samples(levels[samples.inputs], samples.targets)
    return Parts(samples.take(~is_test).take(slice(limit)), samples.take(is_test), (8, 8))


def _files() -> str:
    return f"{', '.join(MNIST_FILES[:-1])} and {MNIST_FILES[-1]}, each with or without .gz"
