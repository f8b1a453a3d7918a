"""The reference step with its array operations fused into CUDA kernels: fewer launches, fewer passes over memory.

Each method below does what the reference's of the same name does, which is also what happens where the kernels don't
know an activation, a loss or an optimizer. Matrix products go to cuBLAS itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.activations import Activation, activation_named
from xpnn.backend import Array
from xpnn.fast.cublas import Cublas
from xpnn.fast.kernels import ACTIVATIONS, LANES, LOSSES, THREADS, WARP, Kernels
from xpnn.layers import PLAIN, Operations, forward
from xpnn.network import MLP
from xpnn.optimizers import Optimizer
from xpnn.steps import Buffers, ReferenceStep

ROWS_OF_A_SUM = 1024  # more are summed over by a product with ones: the kernel has one block for 32 columns alone
CODES: dict[Activation | None, int] = {activation_named(name): code for name, code in ACTIVATIONS.items()}
CODES[None] = ACTIVATIONS["identity"]
SOFTMAX = activation_named("softmax")


class FusedOperations:
    """The operations of `xpnn.layers.PLAIN` by own kernels and cuBLAS."""

    def __init__(self, kernels: Kernels, blas: Cublas, rows: int = 0) -> None:
        """rows: the most of a batch that `differentiate` is asked for."""
        self.kernels, self.blas = kernels, blas
        self.ones = blas.xp.empty((1, rows if rows > ROWS_OF_A_SUM else 0), dtype=kernels.number)
        self.ones.fill(1)

    def as_operations(self) -> Operations:
        """For `forward` and `backward`."""
        return Operations(self.blas.matmul, self.activate, self.differentiate)

    def activate(self, z: Array, b: Array | None, activation: Activation, saved: Array, column: Array) -> None:
        """See `xpnn.layers.activate`."""
        n, units = z.shape
        bias, has_bias = (z, False) if b is None else (b, True)
        if activation == SOFTMAX:
            self.kernels.over_rows("softmax", n, z, bias, n, units, has_bias)
        elif activation in CODES:
            code = CODES[activation]
            if has_bias or code:
                self.kernels.over_elements("activate", z.size, z, bias, np.int64(z.size), units, has_bias, code)
        else:
            PLAIN.activate(z, b, activation, saved, column)

    def differentiate(
        self, delta: Array, activation: Activation | None, saved: Array, column: Array, grad_b: Array | None
    ) -> None:
        """See `xpnn.layers.differentiate`."""
        n, units = delta.shape
        if activation not in CODES:
            PLAIN.differentiate(delta, activation, saved, column, None)
            activation = None
        sums, has_bias = (delta, False) if grad_b is None or n > ROWS_OF_A_SUM else (grad_b, True)
        if has_bias or CODES[activation]:
            grid, block = (-(-units // WARP),), (WARP, LANES)
            self.kernels.launch("differentiate", grid, block, delta, saved, sums, n, units, has_bias, CODES[activation])
        if grad_b is not None and not has_bias:
            self.blas.matmul(self.ones[:, :n], delta, grad_b.reshape(1, units), rounds=False)


class FusedStep(ReferenceStep):
    """The reference step, but for rounding, on a CUDA device.

    precision: of the matrix products, see `xpnn.fast.cublas.Cublas`.
    """

    name = "fused"

    def __init__(
        self,
        net: MLP,
        optimizer: Optimizer,
        inputs: Array,
        targets: Array,
        batch_size: int,
        precision: str = "float32",
        **options: Any,
    ) -> None:
        super().__init__(net, optimizer, inputs, targets, batch_size, **options)
        if precision != "float32":
            self.name = f"{self.name}, {precision}"
        self.kernels = Kernels(net.xp, net.dtype)
        self.blas = Cublas(net.xp, net.dtype, precision)
        self.operations = FusedOperations(self.kernels, self.blas, self.rows).as_operations()
        self.is_labelled, self.is_weighted = targets.ndim == 1, self.weights is not None
        # Then `_measure` does the output layer's activation, too.
        self.fuses_outputs = net.loss in LOSSES and (net.activations[-1] in CODES or net.activations[-1] == SOFTMAX)

    def _gather(self, rows: Array, buffers: Buffers) -> None:
        n, n_in = buffers.x.shape
        pixels = self.inputs.dtype == "uint8"
        factor, offset = self.net.scaling if pixels else (1.0, 0.0)
        labels, sources = (self.targets, self.codes) if self.is_labelled else (buffers.labels, self.targets)
        weights = self.weights if self.is_weighted else buffers.weights
        self.kernels.launch(
            *("gather_pixels" if pixels else "gather_floats", (n,), (THREADS,)),
            *(self.inputs, rows, n_in, float(factor), float(offset), buffers.x),
            *(labels, sources, buffers.t.shape[1], self.is_labelled, buffers.labels, buffers.t),
            *(weights, self.is_weighted, buffers.weights),
        )

    def _product(self, a: Array, b: Array, out: Array) -> None:
        self.blas.matmul(a, b, out, rounds=False)

    def _forward(self, buffers: Buffers) -> None:
        if not self.fuses_outputs:
            super()._forward(buffers)
            return
        hidden, layers, outputs = slice(-1), self.net.layers, buffers.outputs
        forward(
            layers[hidden],
            self.activations[hidden],
            buffers.x,
            outputs[hidden],
            buffers.saved[hidden],
            buffers.column,
            buffers.masks[hidden],
            self.operations,
        )
        self.blas.matmul(outputs[-2] if len(layers) > 1 else buffers.x, layers[-1].W.T, outputs[-1])

    def _measure(self, buffers: Buffers) -> None:
        if self.fuses_outputs:
            self._measure_fused(buffers, self.net.layers[-1].b, self.activations[-1])
        else:
            super()._measure(buffers)

    def _measure_fused(self, buffers: Buffers, b: Array | None, activation: Activation | None) -> None:
        """What the reference does, after the output layer's bias and activation."""
        z, error, (n, n_out) = buffers.outputs[-1], buffers.errors[-1], buffers.t.shape
        is_softmax = activation == SOFTMAX
        self.kernels.over_rows(
            *("measure", n, z, z if b is None else b, buffers.t, buffers.weights, buffers.labels, n, n_out, 1 / n),
            *(b is not None, self.is_weighted, self.is_labelled, 0 if is_softmax else CODES[activation], is_softmax),
            *(LOSSES[self.net.loss], error, buffers.column, buffers.hits),
        )

    def _count(self, buffers: Buffers) -> None:
        self.kernels.launch(
            *("count", (1,), (THREADS,), buffers.column, buffers.hits, len(buffers.t)),
            *(self._updates_of(buffers), self.is_labelled),
            *(self.total_loss, self.total_hits, self.finite_count),
            *(self.table, self.table.shape[1], self.position, self.row),
        )

    def _updates_of(self, buffers: Buffers) -> int:
        """How many updates these rows are."""
        return 1

    def _descend(self) -> None:
        net, numbers, size = self.net, self.optimizer.settings, self.gradient.size
        rest = (self.row, self.row.shape[1], np.int64(size), np.int64(net.weights.size))
        if "beta1" in numbers:
            moments = self.state["first_moment"], self.state["second_moment"]
            betas = float(numbers["beta1"]), float(numbers["beta2"])
            self.kernels.over_elements("descend_by_adam", size, net.parameters, self.gradient, *moments, *rest, *betas)
        elif "momentum" in numbers:
            momentum = float(numbers["momentum"])
            velocity, nesterov = self.state.get("velocity", self.gradient), bool(numbers["nesterov"])
            self.kernels.over_elements(
                "descend", size, net.parameters, self.gradient, velocity, *rest, momentum, nesterov
            )
        else:
            super()._descend()
