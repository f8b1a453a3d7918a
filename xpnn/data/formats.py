"""Which format a file has, by its content."""

from __future__ import annotations

import os

from xpnn.data.arrow import is_arrow
from xpnn.data.files import first_bytes
from xpnn.data.folders import holds_pictures
from xpnn.data.idx import is_idx
from xpnn.data.images import is_image
from xpnn.data.named import is_mnist
from xpnn.data.npy import NPY_MAGIC
from xpnn.data.npz import ZIP_MAGICS
from xpnn.data.shards import holds_shards
from xpnn.errors import Path


def file_format(path: Path) -> str:
    """Which format the content has: folder, picture, zip (of pictures), npz, npy, idx, arrow (or Parquet) or csv.

    A folder with Parquet files is "shards", unless it holds MNIST's own files.
    What is none of the others is taken for CSV. Raises DataError if the file can't be read.
    """
    if os.path.isdir(path):
        return "shards" if not is_mnist(path) and holds_shards(path) else "folder"
    head = first_bytes(path, 12)
    if is_image(head):
        return "picture"
    if head.startswith(ZIP_MAGICS):
        return "zip" if holds_pictures(path) else "npz"
    formats = {"npy": head.startswith(NPY_MAGIC), "idx": is_idx(head), "arrow": is_arrow(head), "csv": True}
    return next(name for name, fits in formats.items() if fits)
