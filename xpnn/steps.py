"""The train step: one batch in, one update of the parameters. This is the algorithm, written once.

A step is called with row numbers and keeps three attributes that the training loop reads:

    name      for the record of the epoch
    rows      how many row numbers it wants at a time
    rows_xp   the array module of these: the net's, where the rows are on its device

The step below is the reference: rows = batch_size. A faster one (in `xpnn.fast`) may take more rows, make several
updates of the parameters of them, and must agree with this one.

After its first call a step allocates nothing and never asks the device for a value: it writes into buffers
made once, reads the learning rate from a table on the device, and adds the loss and the hits to totals on the
device, which the loop reads once an epoch. The same lines can therefore be recorded into a CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from xpnn.activations import Activation, saved_for
from xpnn.augmentation import UNCHANGED, Augmentation
from xpnn.augmenter import Augmenter
from xpnn.averaging import ParameterAverage
from xpnn.backend import Array, ArrayModule, matmul, take, xp_of
from xpnn.layers import PLAIN, Layer, Operations, backward, forward, layers_of
from xpnn.losses import SCRATCH, smoothed
from xpnn.memory import check_room
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.regularization import NONE, Regularization, Regularizer
from xpnn.scaling import scale_pixels
from xpnn.shuffles import shuffled_order
from xpnn.state import Sums


class Step(Protocol):
    """What the training loop knows of a step."""

    rows: int
    rows_xp: ArrayModule

    @property
    def name(self) -> str:
        """For the record of the epoch."""

    def epoch_order(self, seed: int | None, epoch: int) -> Array:
        """The row numbers of an epoch, int64 of `rows_xp`, in the order in which the step then takes them.

        It depends on (seed, epoch) and the rows alone; without a seed it is the order in which they are.
        """

    def begin_epoch(self, first: int, table: Array) -> None:
        """Start an epoch whose first update is number `first` of the run, from 0; totals are 0.

        table: (updates of the epoch, columns), what changes from update to update; see `xpnn.training`.
        """

    def __call__(self, rows: Array) -> None:
        """Learn from these rows, int64 (n,) of `rows_xp`, n <= self.rows."""

    def totals(self) -> tuple[float, int | None]:
        """(sum of the rows' losses, number of hits, None without labels) since begin_epoch. Waits for the device.

        Weighted losses come over the mean weight of all rows: their sum over n is then the weighted mean.
        """

    def finite_updates(self) -> int:
        """How many updates of the epoch had a finite loss before the first that had not. Waits for the device."""

    def end_epoch(self) -> None:
        """Leave the net with the parameters that it is to be used with."""

    def vectors(self) -> dict[str, Array]:
        """What the next update depends on, (P,) each, named as in `xpnn.TrainingState`; writing there restores it."""

    def sums(self) -> Sums:
        """Of the rows since begin_epoch. Waits for the device."""

    def go_on(self, updates: int, sums: Sums) -> None:
        """After begin_epoch: the epoch's first updates are made already, and their rows have these sums."""


class Buffers(NamedTuple):
    """Work arrays for a batch of n rows. `part` gives the same memory for a part of it."""

    pixels: Array  # (n, n_in) uint8
    x: Array  # (n, n_in)
    labels: Array  # (n,) int64
    t: Array  # (n, n_out)
    weights: Array  # (n, 1)
    outputs: Sequence[Array]  # y of each layer, (n, units)
    saved: Sequence[Array]  # what each activation keeps for its derivative: outputs[i] itself, or (arrays, n, units)
    errors: Sequence[Array]  # dL/dy of each layer, (n, units)
    deltas: Sequence[Array]  # dL/dz of each layer; `errors` itself where the gradient is wanted
    scratch: Array  # (SCRATCH, n, n_out), the loss's
    column: Array  # (n, 1)
    predicted: Array  # (n,) int64
    hits: Array  # (n,) bool
    masks: Sequence[Array | None]  # dropout mask of each layer, (n, units)

    def part(self, start: int, stop: int) -> Buffers:
        """The rows from `start` to before `stop` of every buffer."""

        def rows(part: Array) -> Array:
            if part is None:
                return None
            if not hasattr(part, "shape"):
                return list(map(rows, part))
            return part[start:stop] if part.ndim == 1 else part[..., start:stop, :]

        cut = Buffers(*map(rows, self))
        return cut._replace(deltas=cut.errors) if self.deltas is self.errors else cut


def mean_weight(weights: Array | None) -> float:
    """Of weights (n, 1), summed in float64; 1 where there are none. Waits for the device."""
    return 1.0 if weights is None else float(weights.astype("float64").sum()) / len(weights)


class ReferenceStep:
    """Gather a batch, forward, loss, backward, update.

    inputs, targets: the training rows on the net's device, as `MLP.place_inputs` and `place_targets` give them.
    error_rule:      "gradient", or "book": hidden errors come from the raw output error, without the output's
                     derivative, as in Rashid, Make Your Own Neural Network, 2016.
    regularization:  penalties, dropout, noise, norms; see there.
    average_decay:   d of the average of the parameters, a <- d a + (1 - d) p, corrected for its start at zero as
                     Adam's moments are; between epochs the net has the average. 0: no average.
    augmentation:    how the rows, which are then square pictures, are changed at random; see there.
    weights:         (rows, 1) of the net's dtype there, how much each row counts; None: all the same.
    label_smoothing: see `xpnn.losses.smoothed`.
    seed:            of dropout, noise and augmentation.
    """

    name = "reference"
    operations: Operations = PLAIN

    def __init__(
        self,
        net: MLP,
        optimizer: Optimizer,
        inputs: Array,
        targets: Array,
        batch_size: int,
        *,
        error_rule: str = "gradient",
        regularization: Regularization = NONE,
        average_decay: float = 0.0,
        augmentation: Augmentation = UNCHANGED,
        weights: Array | None = None,
        label_smoothing: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.rows_xp = xp = xp_of(net.parameters, inputs, targets)
        self.net, self.optimizer, self.inputs, self.targets = net, optimizer, inputs, targets
        self.error_rule = error_rule
        self.loss_function = net.loss_function
        self.codes = smoothed(net.codes(), self.loss_function, label_smoothing)
        if targets.ndim > 1:
            self.targets = smoothed(targets, self.loss_function, label_smoothing)
        self.weights = weights
        self.mean_weight = mean_weight(weights)
        self.rows = min(batch_size, len(inputs))
        self.activations = net.activations
        self.backward_activations: list[Activation | None] = list(net.activations)
        if self.loss_function.link:
            self.backward_activations[-1] = None  # the loss gives dL/dz
        if net.device.kind == "cpu":
            remedy = "choose smaller hidden sizes (--hidden), a smaller batch, the optimizer sgd, or float32"
            check_room(
                self._room(regularization, average_decay),
                f"training {net.parameters.size:,} parameters takes at least",
                remedy,
            )
        self.gradient = xp.zeros_like(net.parameters)
        self.gradient_layers: Sequence[Layer | None] = layers_of(self.gradient, net.sizes, net.bias)
        self.state = optimizer.init(net.parameters)
        self.regularizer = Regularizer(regularization, net, self.gradient, self.rows, seed)
        self.augmenter = None if augmentation == UNCHANGED else self._make_augmenter(augmentation, seed)
        self.average = ParameterAverage(net.parameters) if average_decay else None
        self.buffers = {self.rows: self._make_buffers(net.sizes[1:])}
        self.loss = xp.zeros((), dtype=net.dtype)
        self.total_loss = xp.zeros((), dtype="float64")
        self.batch_hits = xp.zeros((), dtype="int64")
        self.total_hits = xp.zeros((), dtype="int64")
        self.is_finite = xp.zeros((), dtype="bool")
        self.finite_count = xp.zeros((), dtype="int64")
        self.position = xp.zeros(1, dtype="int64")  # this update's row of the table
        self.table = self.row = xp.zeros((1, 0), dtype=net.dtype)
        self.coefficients: Sequence[Array] = ()

    def _room(self, regularization: Regularization, average_decay: float) -> int:
        """Bytes that a run of this step comes to hold at once beside the net (`tests/test_memory.py` measures them).

        They are vectors (P,) and buffers of a batch. Left out is what is small beside a large net: what augmentation
        and noise need, and the chunks of an evaluation.
        """
        s, p = regularization, self.net.parameters
        vectors = 2 + len(self.optimizer.init(p[:1]))  # the gradient, and the parameters as the epoch began
        vectors += 2 * bool(average_decay) + bool(s.l1 or s.l2 or s.max_norm or s.clip_norm)
        # Whether each parameter is finite is a byte.
        return int((vectors * p.size + self.rows * self._values_a_row(s)) * p.itemsize + p.size)

    def _values_a_row(self, regularization: Regularization) -> int:
        """Of the buffers of a batch; a step that goes without them says so."""
        n_in, *hidden, n_out = self.net.sizes
        saved = [
            (1 + f.scratch) * n for f, n in zip(self.activations, self.net.sizes[1:], strict=True) if f.keeps_slope
        ]
        is_book, drops = self.error_rule != "gradient", regularization.dropout > 0  # a mask has words beside its values
        return (
            n_in
            + (2 + is_book) * sum(self.net.sizes[1:])
            + sum(saved)
            + (1 + SCRATCH) * n_out
            + 2 * drops * sum(hidden)
        )

    def _make_buffers(self, units: Sequence[int]) -> Buffers:
        """For `self.rows` rows; units: of each layer."""
        xp, n, sizes, dtype = self.net.xp, self.rows, self.net.sizes, self.net.dtype
        errors = [xp.empty((n, size), dtype=dtype) for size in units]
        outputs = [xp.empty_like(error) for error in errors]
        return Buffers(
            pixels=xp.empty((n, sizes[0]), dtype="uint8"),
            x=xp.empty((n, sizes[0]), dtype=dtype),
            labels=xp.empty(n, dtype="int64"),
            t=xp.empty((n, sizes[-1]), dtype=dtype),
            weights=xp.empty((n, 1), dtype=dtype),
            outputs=outputs,
            saved=list(map(saved_for, self.activations, outputs)),
            errors=errors,
            deltas=errors if self.error_rule == "gradient" else [xp.empty_like(error) for error in errors],
            scratch=xp.empty((SCRATCH, n, sizes[-1]), dtype=dtype),
            column=xp.empty((n, 1), dtype=dtype),
            predicted=xp.empty(n, dtype="int64"),
            hits=xp.empty(n, dtype="bool"),
            masks=self.regularizer.masks,
        )

    def _make_augmenter(self, settings: Augmentation, seed: int) -> Augmenter:
        net, side = self.net, math.isqrt(self.net.sizes[0])
        background = net.scaling.offset if self.inputs.dtype == "uint8" else 0.0  # what a pixel of 0 becomes
        return Augmenter(settings, net.xp, side, self.rows, net.dtype, background, seed)

    def epoch_order(self, seed: int | None, epoch: int) -> Array:
        """See Step."""
        return shuffled_order(self.rows_xp, len(self.inputs), seed, epoch)

    def begin_epoch(self, first: int, table: Array) -> None:
        """See Step."""
        if self.table.shape == table.shape:
            self.net.xp.copyto(self.table, table)  # it keeps its place, where a recorded CUDA graph reads it
        else:
            self.table, self.row = table, self.net.xp.empty_like(table[:1])
            self.coefficients = [self.row[0, i : i + 1].reshape(()) for i in range(table.shape[1])]
        self.regularizer.draws.begin_epoch(first, len(table))
        if self.augmenter is not None:
            self.augmenter.draws.begin_epoch(first, len(table))
        if self.average is not None:
            self.average.use(False)
        for counter in (self.position, self.total_loss, self.total_hits, self.finite_count):
            counter.fill(0)

    def end_epoch(self) -> None:
        """See Step."""
        if self.average is not None:
            self.average.use(True)

    def __call__(self, rows: Array) -> None:
        """See Step."""
        buffers = self._buffers_for(len(rows))
        self._gather(rows, buffers)
        self._disturb(buffers)
        self._forward(buffers)
        self._measure(buffers)
        self._count(buffers)
        self._differentiate(buffers)
        self._update()

    def _buffers_for(self, n: int) -> Buffers:
        if n not in self.buffers:
            self.buffers[n] = self.buffers[max(self.buffers)].part(0, n)
        return self.buffers[n]

    def _gather(self, rows: Array, buffers: Buffers) -> None:
        """Copy the batch's inputs, scaled, into x, its targets into t, and its rows' weights."""
        if self.inputs.dtype == "uint8":
            take(self.inputs, rows, out=buffers.pixels)
            scale_pixels(buffers.pixels, self.net.scaling, out=buffers.x)
        else:
            take(self.inputs, rows, out=buffers.x)
        if self.targets.ndim == 1:
            take(self.targets, rows, out=buffers.labels)
            take(self.codes, buffers.labels, out=buffers.t)
        else:
            take(self.targets, rows, out=buffers.t)
        if self.weights is not None:
            take(self.weights, rows, out=buffers.weights)

    def _disturb(self, buffers: Buffers) -> None:
        """Augment the batch's pictures; add noise to its inputs, and draw the masks."""
        if self.augmenter is not None:
            self.augmenter.augment(buffers.x, self.position, self._product)
        self.regularizer.draws.draw(self.position)
        self.regularizer.disturb(buffers.x)

    def _product(self, a: Array, b: Array, out: Array) -> None:
        """out = a @ b, in the net's own precision."""
        matmul(a, b, out)

    def _forward(self, buffers: Buffers) -> None:
        forward(
            self.net.layers,
            self.activations,
            buffers.x,
            buffers.outputs,
            buffers.saved,
            buffers.column,
            buffers.masks,
            self.operations,
        )

    def _measure(self, buffers: Buffers) -> None:
        """The rows' losses and hits; dL/dy, averaged over the rows, into the last error."""
        xp, y, error = self.net.xp, buffers.outputs[-1], buffers.errors[-1]
        self.loss_function.evaluate(y, buffers.t, error, buffers.scratch, buffers.column)
        xp.multiply(error, 1 / len(y), out=error)
        if self.weights is not None:
            xp.multiply(error, buffers.weights, out=error)
            xp.multiply(buffers.column, buffers.weights, out=buffers.column)
        if self.targets.ndim == 1:
            xp.argmax(y, axis=1, out=buffers.predicted)
            xp.equal(buffers.predicted, buffers.labels, out=buffers.hits)

    def _count(self, buffers: Buffers) -> None:
        """Add the batch's loss and hits to the totals, and turn to this update's row of the table."""
        xp = self.net.xp
        xp.sum(buffers.column, out=self.loss)
        xp.add(self.total_loss, self.loss, out=self.total_loss)
        xp.isfinite(self.total_loss, out=self.is_finite)
        xp.add(self.finite_count, self.is_finite, out=self.finite_count)
        if self.targets.ndim == 1:
            xp.sum(buffers.hits, out=self.batch_hits)
            xp.add(self.total_hits, self.batch_hits, out=self.total_hits)
        take(self.table, self.position, out=self.row)
        xp.add(self.position, 1, out=self.position)

    def _differentiate(self, buffers: Buffers) -> None:
        backward(
            self.net.layers,
            self.backward_activations,
            buffers.x,
            buffers.outputs,
            buffers.saved,
            buffers.errors,
            buffers.deltas,
            self.gradient_layers,
            buffers.column,
            buffers.masks,
            self.regularizer.mask_scale,
            self.operations,
        )

    def _update(self) -> None:
        self.regularizer.adjust_gradient()
        self._descend()
        self.regularizer.limit_norms()
        if self.average is not None:
            self.average.update(self.coefficients[-1])

    def _descend(self) -> None:
        """Weight decay, and the optimizer's update."""
        net = self.net
        *coefficients, shrink, _ = self.coefficients
        if self.optimizer.weight_decay:
            net.xp.multiply(net.weights, shrink, out=net.weights)
        self.optimizer.update(self.gradient, self.state, net.parameters, coefficients)

    def totals(self) -> tuple[float, int | None]:
        """See Step."""
        return float(self.total_loss) / self.mean_weight, int(self.total_hits) if self.targets.ndim == 1 else None

    def finite_updates(self) -> int:
        """See Step."""
        return int(self.finite_count)

    def vectors(self) -> dict[str, Array]:
        """See Step."""
        moments = {f"optimizer.{name}": vector for name, vector in self.state.items() if name != "scratch"}
        if self.average is None:
            return {"learnt": self.net.parameters, **moments}
        return {"learnt": self.average.learnt, "average": self.average.averaged, **moments}

    def sums(self) -> Sums:
        """See Step."""
        return Sums(float(self.total_loss), int(self.total_hits), self.finite_updates())

    def go_on(self, updates: int, sums: Sums) -> None:
        """See Step."""
        counters = (self.position, self.total_loss, self.total_hits, self.finite_count)
        for counter, value in zip(counters, (updates, *sums), strict=True):
            counter.fill(value)
