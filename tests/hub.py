"""Tables as the Hugging Face hub has them, for the tests of what reads Parquet."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

HEIGHT = 8


def packed(row: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(row.reshape(HEIGHT, -1)).save(file, kind)
    return file.getvalue()


def hub_table(x: NDArray[np.uint8], y: Any, names: list[str] | None = None) -> pa.Table:
    """As the hub's MNIST is: `image` {bytes, path} and `label`, whose names stand beside the schema."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array([{"bytes": packed(row), "path": None} for row in x], image), "label": y})
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    noted = json.dumps({"info": {"features": features}})
    return table.replace_schema_metadata({"huggingface": noted}) if names else table
