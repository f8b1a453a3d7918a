"""xpnn export --check: the file that was written, run by onnxruntime, beside the model that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpnn
from xpnn.scaling import scale_pixels
from xpnn.stored import chunks
from xpnn_cli.options import refuse_unless_finite

CHECKED_ROWS = 4096  # at a time
MARGIN = 8  # roundings: one would do for each of the two answers, but other sums, and another exp, round otherwise


def check_onnxruntime() -> None:
    """Raise XpnnError where the package is missing."""
    try:
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise xpnn.XpnnError("--check needs the package onnxruntime; pip install onnxruntime") from error


def compared(net: xpnn.MLP, model: str, path: Path, data: str, rows: Any) -> dict[str, Any]:
    """How far the answers of an ONNX file are from the net's, and how far rounding may take them.

    Rounding is measured: it is what the outputs differ by between float32 and float64, or for a float64 net 2^-29 of
    that, and not less than a unit of the largest output's last place.
    Raises DataError for rows that the file can't take.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    dtype = {"uint8": "uint8", "float": "float32", "double": "float64"}[session.get_inputs()[0].type[7:-1]]
    if dtype == "uint8" != rows.dtype:
        problem = f"its rows are {rows.dtype}, and {path} takes uint8: give --input-dtype {rows.dtype}"
        raise xpnn.DataError(problem, data)
    names = [output.name for output in session.get_outputs()]
    other = net.to(dtype="float64" if net.dtype == "float32" else "float32")
    count, differing, difference, rounding, largest, same_names = 0, 0, 0.0, 0.0, 1.0, True
    for block in chunks(rows):
        for start in range(0, len(block), CHECKED_ROWS):
            inputs = _inputs(net, block[start : start + CHECKED_ROWS], dtype)
            found = dict(zip(names, session.run(None, {"inputs": inputs}), strict=True))
            label, outputs = found.pop("label", None), *found.values()
            with np.errstate(all="ignore"):
                expected, by_other = (one.query(inputs).astype("float64") for one in (net, other))
            refuse_unless_finite(expected, model, net.output)
            difference = max(difference, _distance(outputs, expected))
            rounding = max(rounding, _distance(expected, by_other))
            largest = max(largest, float(np.abs(expected).max()))
            if label is not None:
                differing += int((outputs.argmax(axis=1) != expected.argmax(axis=1)).sum())
                labels = np.array(net.labels)[outputs.argmax(axis=1)]
                same_names = same_names and labels.tolist() == list(map(str, label.tolist()))
            count += len(inputs)
    precision = float(np.finfo(net.dtype).eps)
    bound = MARGIN * (rounding * precision / float(np.finfo("float32").eps) + precision * largest)
    return {
        "data": data,
        "rows": count,
        "onnxruntime": onnxruntime.__version__,
        "labels_differ": differing if "label" in names else None,
        "largest_difference": difference,
        "bound": bound,
        "agrees": same_names and difference <= bound,
    }


def _distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The largest difference; infinite where one is not finite."""
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(np.abs(a - b), nan=np.inf).max(initial=0.0))


def _inputs(net: xpnn.MLP, rows: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Rows as `query` takes them, for a file that takes another type."""
    if rows.dtype == dtype:
        return rows
    if rows.dtype != "uint8":
        return rows.astype(dtype)
    scaled = np.empty(rows.shape, dtype=dtype)
    scale_pixels(rows, net.scaling, out=scaled)
    return scaled


def description(check: dict[str, Any], kind: str) -> str:
    """The same for people."""
    answers = (
        f"{kind} by {check['largest_difference']:.2g} at the most, of which rounding explains {check['bound']:.2g}"
    )
    labels = "" if check["labels_differ"] is None else f"{check['labels_differ']:,} labels, and "
    return (
        f"from `xpnn query` on {check['rows']:,} rows, onnxruntime {check['onnxruntime']} differs in {labels}{answers}"
    )
