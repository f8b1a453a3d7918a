"""The multilayer perceptron: its shape and settings, its parameters, and what it answers."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from xpnn.activations import Activation, activation_named, saved_for
from xpnn.arrays import in_kind_of, in_order
from xpnn.backend import (
    Array,
    ArrayModule,
    Device,
    all_finite,
    as_floats,
    is_on_host,
    to_device,
    to_host,
    xp_of,
)
from xpnn.errors import DataError
from xpnn.initializers import INITIALIZERS, seeded, usual_initializer
from xpnn.layers import PLAIN, QUERYING, Operations, forward, layers_of, parameter_count, weight_count
from xpnn.losses import Loss, check_loss, check_targets, loss_named, natural_loss
from xpnn.memory import check_room
from xpnn.scaling import Scaling, Standardization, checked_standardization, scale_pixels, standardized
from xpnn.stored import StoredRows, named_rows, part_of

if TYPE_CHECKING:
    from xpnn.epochs import Epoch

MOST_PARAMETERS = 1 << 48  # a petabyte
QUERY_ROWS = 1024  # rows a chunk: larger ones leave the CPU's cache, smaller ones pay more for each call
CUDA_QUERY_ROWS = 8192  # a GPU wants many at once
MOST_VALUES = 1 << 24  # of a layer in a chunk on the CPU: 64 MB, which only layers of more than 16,384 units reach


class ChunkBuffers(NamedTuple):
    """Work arrays for the outputs of n rows."""

    x: Array | None  # (n, n_in) floats, where the rows are pixels
    outputs: Sequence[Array]  # of each layer, (n, units)
    saved: Sequence[Array]
    column: Array  # (n, 1)


class MLP:
    """A multilayer perceptron, on one device.

    sizes:        units of each layer from the inputs to the outputs, such as [784, 200, 10].
    hidden:       activation of the hidden layers, such as "relu" or "elu:0.5" (docs/activations.md); one, or one a
                  layer.
    output:       activation of the output layer: softmax, exp or any of the hidden ones.
    loss:         such as "cross-entropy" or "huber:0.5" (docs/losses.md); None: the one made for `output`.
    bias:         whether layers have biases.
    initializer:  see `xpnn.initializers`; None: the usual one for each layer's activation.
    scaling:      (factor, offset) applied to pixels (uint8 inputs). Floats are used as they come.
    target_range: (low, high), what a class label becomes at the outputs of the other classes and its own.
    labels:       names of the classes or values, one an output, printable.
    standardization: (means, deviations), n_in numbers each: for a net of real numbers, which then uses
                  (value - mean) / deviation (see `xpnn.samples.standardization_of`). Pixels are not touched.
    columns:      names of the inputs, printable, by which they are found in a table; None: they have none.
    label_column: name of the table's column with the classes, where the net tells classes apart; None: the labels are
                  names of columns of values.
    image_shape:  (height, width) where a row is a picture; None: nobody said.
    device:       "cpu", "cuda", "cuda:N" or "auto".
    dtype:        "float32" or "float64".
    seed:         of the initial weights; the same on every device.

    Raises ValueError for arguments that can't work, DeviceError for a device that can't be used, and for a net that the
    CPU's memory can't hold. All that computes with a net raises DeviceError where its CUDA device runs out of memory or
    fails.
    """

    def __init__(
        self,
        sizes: Sequence[SupportsIndex],
        *,
        hidden: str | Sequence[str] = "relu",
        output: str = "softmax",
        loss: str | None = None,
        bias: bool = True,
        initializer: str | None = None,
        scaling: tuple[float, float] = (1 / 255, 0.0),
        target_range: tuple[float, float] = (0.0, 1.0),
        labels: Sequence[str] | None = None,
        standardization: tuple[Iterable[float], Iterable[float]] | None = None,
        columns: Sequence[str] | None = None,
        label_column: str | None = None,
        image_shape: Sequence[SupportsIndex] | None = None,
        device: str | Device = "cpu",
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        given = list(sizes) if isinstance(sizes, Iterable) else [sizes]
        self.sizes = tuple(operator.index(size) if _is_whole(size) else 0 for size in given)
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes must be two or more positive whole numbers, not {given}")
        depth = len(self.sizes) - 2
        self.hidden = (hidden,) * depth if isinstance(hidden, str) else tuple(hidden)
        if len(self.hidden) != depth:
            raise ValueError(f"{depth} hidden layers but {len(self.hidden)} hidden activations")
        for name in self.hidden:
            activation_named(name, hidden=True)
        activation_named(output)
        _check_choice("dtype", dtype, ("float32", "float64"))
        if initializer is not None:
            _check_choice("initializer", initializer, INITIALIZERS)
        self.output, self.dtype, self.bias = output, dtype, bias
        self.loss = natural_loss(output) if loss is None else loss
        self.scaling = Scaling(*_finite_pair("scaling", "(factor, offset)", scaling))
        self.target_range = _finite_pair("target_range", "the lower first", target_range)
        check_loss(self.loss, output, self.target_range)
        if labels is not None:
            _check_names("labels", tuple(map(str, labels)), "outputs", self.sizes[-1])
        self.standardization: Standardization | None = None
        if standardization is not None:
            self.standardization = checked_standardization(*standardization, count=self.sizes[0])
        self.columns = None if columns is None else tuple(map(str, columns))
        if self.columns is not None:
            _check_names("columns", self.columns, "inputs", self.sizes[0])
            _check_different(columns=self.columns, labels=tuple(map(str, labels or ())))
        self.label_column = None if label_column is None else _checked_label_column(str(label_column), self.columns)
        self.image_shape = None if image_shape is None else _checked_shape(image_shape, self.sizes[0])
        self.device = Device.named(device)
        count = parameter_count(self.sizes, bias)
        if count >= MOST_PARAMETERS:
            raise ValueError(f"sizes {list(self.sizes)} make {count} parameters, more than any memory holds")
        if self.device.kind == "cpu":
            what = f"sizes {list(self.sizes)} make {count:,} parameters, and initial weights for them take"
            check_room(_room_to_begin(self.sizes, dtype), what, "choose smaller hidden sizes (--hidden), or float32")
        with self.device.active():
            self.parameters: Array = self.xp.zeros(count, dtype=dtype)
            self.weights: Array = self.parameters[: weight_count(self.sizes)]
            # After the parameters: where these are too many, memory is short before a name for each output is made.
            self.labels = tuple(map(str, range(self.sizes[-1]) if labels is None else labels))
            self.layers = layers_of(self.parameters, self.sizes, bias)
            self._initialize(initializer, seed)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy's layers, and those of a net that was unpickled, are views of its own parameters."""
        vars(self).update(state)
        self.weights = self.parameters[: weight_count(self.sizes)]
        self.layers = layers_of(self.parameters, self.sizes, self.bias)

    def _initialize(self, initializer: str | None, seed: int) -> None:
        generator = seeded(seed)
        for layer, name in zip(self.layers, (*self.hidden, self.output), strict=True):
            draw = INITIALIZERS[initializer or usual_initializer(name)]
            layer.W[...] = self.xp.asarray(draw(generator, *layer.W.shape), dtype=self.dtype)

    @property
    def xp(self) -> ArrayModule:
        """The array module of the net's device."""
        return self.device.xp

    @property
    def activations(self) -> tuple[Activation, ...]:
        """One a layer, the output's last."""
        return tuple(activation_named(name) for name in (*self.hidden, self.output))

    @property
    def loss_function(self) -> Loss:
        """What `loss` names."""
        return loss_named(self.loss)

    def codes(self) -> Array:
        """(n_out, n_out): row k is what the outputs should be for class k, made from `target_range`."""
        low, high = self.target_range
        return low + (high - low) * self.xp.eye(self.sizes[-1], dtype=self.dtype)

    def settings(self) -> dict[str, Any]:
        """The arguments that make a net of this kind: MLP(**net.settings()) has its shape, not its weights."""
        names = ("sizes", "hidden", "output", "loss", "bias", "scaling", "target_range", "labels", "standardization")
        return {name: getattr(self, name) for name in (*names, "columns", "label_column", "image_shape", "dtype")}

    def to(self, device: str | Device | None = None, *, dtype: str | None = None) -> MLP:
        """A copy of the net on another device, or of another dtype; None: its own.

        A float64 copy of a float32 net has the same weights, and sums with twice the digits: its answers are exact
        where the net's are rounded.
        """
        settings = self.settings() | ({} if dtype is None else {"dtype": dtype})
        copy = MLP(**settings, device=self.device if device is None else device)
        with copy.device.active():
            copy.parameters[...] = copy.xp.asarray(to_host(self.parameters))
        return copy

    def train(
        self, inputs: Any, targets: Any, *, callback: Callable[[Epoch], object] | None = None, **options: Any
    ) -> list[Epoch]:
        """Train on (inputs, targets); returns the epochs' records.

            net.train(inputs, targets, epochs=5, batch_size=32, optimizer=xpnn.optimizers.adam(0.001))

        inputs:   (n, n_in), as for `query`.
        targets:  (n,) class labels from 0, or (n, n_out) floats.
        callback: called with the record of each epoch as soon as it has ended, such as those of `xpnn.callbacks`.
        options:  those of `xpnn.train`, which says what they are and raises; its epochs a loop can watch, or end,
                  without a callback.
        """
        from xpnn.training import train

        epochs = []
        for epoch in train(self, (inputs, targets), **options):
            if callback is not None:
                callback(epoch)
            epochs.append(epoch)
        return epochs

    def query(self, inputs: Any) -> Any:
        """The outputs for one row (n_in,) or many (n, n_in); for a softmax net, class probabilities.

        inputs: pixels (uint8, or whole numbers 0-255), which the net scales, or floats, used as they come. A net
                with a `standardization` takes all but uint8 for values to standardise. They may be an array of NumPy,
                CuPy, PyTorch, JAX or another library, lists, or a table, in which a net that has `columns` finds
                them by name (docs/arrays.md).
        Returns (n_out,) or (n, n_out) of the net's dtype, on its device: a tensor of PyTorch or JAX if the inputs
        are one, else an array of CuPy where the net is on a CUDA device, and of NumPy where it is on the CPU.
        Raises DataError for another width, for pixels outside 0-255, for floats that are not finite, and for what are
        no numbers; TypeError for CUDA arrays on a CPU net, and for what is no array.
        """
        return in_kind_of(inputs, self._answers(inputs))

    def _answers(self, inputs: Any) -> Array:
        """What `query` gives, as an array of the net's device."""
        rows, names = named_rows(inputs, self.columns)
        with self.device.active():
            result = self.outputs(self.checked_inputs(rows[None] if rows.ndim == 1 else rows, names))
        return result[0] if rows.ndim == 1 else result

    def outputs(self, x: Array) -> Array:
        """The outputs (n, n_out) for rows that `checked_inputs` gave, in chunks that fit the cache, or the device.

        To be called within `self.device.active()`.
        """
        result, rows = self.xp.empty((len(x), self.sizes[-1]), dtype=self.dtype), self.chunk_rows
        for start in range(0, len(x), rows):
            self._query_chunk(part_of(x, start, start + rows), result[start : start + rows])
        return result

    @property
    def chunk_rows(self) -> int:
        """How many rows are best queried at a time."""
        if self.device.kind == "cpu":
            return max(1, min(QUERY_ROWS, MOST_VALUES // max(self.sizes)))
        return CUDA_QUERY_ROWS

    def _query_chunk(self, x: Array, result: Array) -> None:
        if self.device.kind == "cpu":
            self.run_chunk(x, self.chunk_buffers(x, result), QUERYING)
            return
        from xpnn.fast.prediction import captured_query

        captured_query(self)(self, to_device(x, self.device), result)

    def chunk_buffers(self, x: Array, result: Array) -> ChunkBuffers:
        """Work arrays for rows x (n, n_in); the last output goes into `result`, (n, n_out)."""
        xp, n = self.xp, len(x)
        outputs = [*(xp.empty((n, size), dtype=self.dtype) for size in self.sizes[1:-1]), result]
        floats = xp.empty(x.shape, dtype=self.dtype) if x.dtype.kind == "u" else None
        saved = list(map(saved_for, self.activations, outputs))
        return ChunkBuffers(floats, outputs, saved, xp.empty((n, 1), dtype=self.dtype))

    def run_chunk(self, x: Array, buffers: ChunkBuffers, operations: Operations = PLAIN) -> None:
        """Write the outputs for rows x, pixels or floats, into the buffers'."""
        floats, outputs, saved, column = buffers
        if floats is not None:
            scale_pixels(x, self.scaling, out=floats)
            x = floats
        forward(self.layers, self.activations, x, outputs, saved, column, [None] * len(outputs), operations)

    def predict(self, inputs: Any) -> Any:
        """The class of each row, int64 (n,) (0-d for one row): the output that is largest. See `query`.

        Raises ValueError for a net with one output, which tells no classes apart.
        """
        if self.sizes[-1] == 1:
            raise ValueError("a net with one output gives values, not classes; use query")
        with self.device.active():
            return in_kind_of(inputs, self._answers(inputs).argmax(axis=-1))

    def place_inputs(self, inputs: Array) -> Array:
        """`checked_inputs` on the net's device."""
        return to_device(self.checked_inputs(inputs), self.device)

    def checked_inputs(
        self, inputs: Array, names: Sequence[str] | None = None, numbers: Sequence[int] | None = None
    ) -> Array:
        """Inputs (n, n_in) as the net uses them: uint8 pixels, or floats of its dtype. Arrays of the host stay there.

        names:   of the columns of `inputs`, which are brought into the order of the net's own names, if it has any.
        numbers: the rows' own, by which an error names them; None: they count from 0.

        With a `standardization` the floats are (value - mean) / deviation, computed in float64. Of rows that stay in a
        file (`xpnn.stored`) only the kind is looked at now; each part is when it is read.
        Raises DataError for what is no such thing, TypeError for a CUDA array where the net is on the CPU.
        """
        if isinstance(inputs, StoredRows) and inputs.shape[1] == self.sizes[0]:
            return inputs.checked(lambda rows, numbers: self.checked_inputs(rows, names, numbers))
        if names is not None and self.columns is not None:
            inputs = in_order(inputs, names, self.columns)
        if inputs.ndim != 2 or inputs.shape[1] != self.sizes[0]:
            remedy = _flattened(inputs.shape, self.sizes[0])
            raise DataError(f"inputs have shape {inputs.shape}; this net takes (n, {self.sizes[0]}){remedy}")
        if inputs.dtype.kind not in "biuf":
            raise DataError(f"inputs must be numbers, not {inputs.dtype}")
        inputs = self._here(inputs)
        if inputs.dtype == "uint8":
            return inputs.astype("uint8", order="C", copy=False)  # or each step's `take` would copy all rows first
        if self.standardization is not None:
            inputs = standardized(inputs, self.standardization)
        if inputs.dtype.kind not in "iu":
            return _finite(as_floats(inputs, self.dtype), "inputs", numbers)
        low, high = (int(inputs.min()), int(inputs.max())) if inputs.size else (0, 0)
        if low < 0 or high > 255:
            raise DataError(
                f"whole-number inputs are pixels and must lie in 0-255, not {low} to {high}; "
                "for other data pass floats, scaled to about -1 to 1"
            )
        return inputs.astype("uint8", order="C")

    def place_targets(self, targets: Array) -> Array:
        """`checked_targets` on the net's device."""
        return to_device(self.checked_targets(targets), self.device)

    def checked_targets(self, targets: Array) -> Array:
        """Targets as the net uses them: int64 labels (n,), or floats (n, n_out). Arrays of the host stay there.

        Raises as `checked_inputs` does.
        """
        n_out = self.sizes[-1]
        if n_out == 1 and targets.ndim == 1:
            targets = targets[:, None]
        is_labels = targets.ndim == 1 and targets.dtype.kind in "biu"
        if targets.dtype.kind not in "biuf" or not (is_labels or targets.shape[1:] == (n_out,)):
            raise DataError(
                f"targets of shape {targets.shape} and type {targets.dtype} don't fit {n_out} outputs: give "
                f"whole-number labels (n,), or floats (n, {n_out})"
            )
        targets = self._here(targets)
        if not is_labels:
            targets = _finite(as_floats(targets, self.dtype), "targets")
            check_targets(targets, self.loss)
            return targets
        low, high = (int(targets.min()), int(targets.max())) if targets.size else (0, 0)
        if low < 0 or high >= n_out:
            raise DataError(f"labels must lie in 0-{n_out - 1}, one an output, not {low} to {high}")
        return targets.astype("int64", order="C", copy=False)

    def _here(self, array: Array) -> Array:
        """A CUDA array on the net's own device, where it can be worked on; an array of the host as it is."""
        return array if is_on_host(array) else to_device(array, self.device)

    def __repr__(self) -> str:
        hidden = self.hidden[0] if len(set(self.hidden)) == 1 else list(self.hidden)
        return f"MLP({list(self.sizes)}, hidden={hidden!r}, output={self.output!r}, device='{self.device}')"


def _room_to_begin(sizes: Sequence[int], dtype: str) -> int:
    """Bytes that are written at the same time, at the most, while initial weights are drawn in float64 and cast."""
    itemsize = 4 if dtype == "float32" else 8
    weights = [below * above for below, above in itertools.pairwise(sizes)]
    return max(itemsize * sum(weights[:i]) + (8 + itemsize) * count for i, count in enumerate(weights))


def _is_whole(size: Any) -> bool:
    """NumPy's whole numbers count, True and False do not."""
    return hasattr(size, "__index__") and getattr(size, "ndim", 0) == 0 and not isinstance(size, bool)


def _flattened(shape: tuple[int, ...], n_in: int) -> str:
    """How to make a row of each picture, or of the one; empty where these are none."""
    pixels = math.prod(shape[1:] if len(shape) > 2 else shape)
    return f": give inputs.reshape(-1, {n_in})" if pixels == n_in else ""


def _check_names(what: str, names: tuple[str, ...], units: str, count: int) -> None:
    if len(names) != count:
        raise ValueError(f"{count} {units} but {len(names)} {what}")
    unprintable = [name for name in names if not name.isprintable()]
    if unprintable:
        raise ValueError(f"{what} must be printable text of one line, not {unprintable[0]!r}")


def _check_different(**lists: tuple[str, ...]) -> None:
    for what, names in lists.items():
        if len(set(names)) < len(names):
            raise ValueError(f"the {what} of a table must be different names, not {names}")


def _checked_label_column(name: str, columns: tuple[str, ...] | None) -> str:
    if not name.isprintable() or columns is None or name in columns:
        raise ValueError(
            f"label_column must be one more column of the net's table, with a printable name, not {name!r}"
        )
    return name


def _checked_shape(shape: Sequence[SupportsIndex], pixels: int) -> tuple[int, int]:
    found = tuple(operator.index(side) if _is_whole(side) else 0 for side in shape)
    if len(found) != 2 or min(found) < 1 or math.prod(found) != pixels:
        raise ValueError(f"image_shape must be (height, width) of pictures of {pixels} pixels, not {tuple(shape)}")
    return found[0], found[1]


def _check_choice(what: str, name: str, choices: Any) -> None:
    if name not in choices:
        raise ValueError(f"unknown {what} {name!r}: choose from {', '.join(choices)}")


def _finite_pair(name: str, meaning: str, values: Sequence[float]) -> tuple[float, float]:
    pair = tuple(map(float, values))
    if len(pair) != 2 or not all(map(math.isfinite, pair)):
        raise ValueError(f"{name} must be two finite numbers, {meaning}, not {values}")
    return pair


def _finite(rows: Array, name: str, numbers: Sequence[int] | None = None) -> Array:
    """The rows as they are. Raises DataError naming the first one that isn't finite throughout, by its number."""
    if not all_finite(rows):
        row = to_host(xp_of(rows).isfinite(rows)).all(axis=1).tolist().index(False)
        row = row if numbers is None else numbers[row]
        problem = f"the {name} of row {row}, counted from 0, hold nan, inf or a number too large for {rows.dtype}"
        raise DataError(f"{problem}: correct them, or leave the row out")
    return rows
