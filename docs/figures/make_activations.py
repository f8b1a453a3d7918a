"""Makes activations.svg: each hidden activation and its derivative, worked out by xpnn itself.

python docs/figures/make_activations.py
"""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from style import BLUE, GREY, ORANGE, save

from xpnn.activations import HIDDEN_ACTIVATIONS, activation_named, saved_for

ORDER = [
    *("sigmoid", "tanh", "identity", "relu"),
    *("leaky-relu:0.1", "elu", "selu", "softplus"),
    *("gelu", "gelu-tanh", "silu", "mish"),
]
assert {name.partition(":")[0] for name in ORDER} == set(HIDDEN_ACTIVATIONS)


def main() -> None:
    figure, axes = plt.subplots(3, 4, figsize=(9.6, 6.6), sharex=True, sharey=True, layout="constrained")
    z = np.linspace(-4, 4, 401)[:, None]
    for name, axis in zip(ORDER, axes.flat, strict=True):
        function, y, slope, column = activation_named(name), z.copy(), np.ones_like(z), np.empty_like(z)
        saved = saved_for(function, y)
        function.apply(y, saved, column)
        outputs = y.copy()
        function.backpropagate(slope, saved, column)
        slope[np.abs(np.diff(slope, axis=0, append=slope[-1:])) > 0.3] = np.nan  # a jump is a gap, not a line
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.plot(z, slope, color=ORANGE, label="f'(z)", linewidth=1.4)
        axis.plot(z, outputs, color=BLUE, label="f(z)")
        axis.set(title=name, xlim=(-4, 4), ylim=(-2, 3), xticks=[-4, -2, 0, 2, 4], yticks=[-2, -1, 0, 1, 2, 3])
    for axis in axes[-1]:
        axis.set_xlabel("z")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=2, frameon=False)
    save(figure, __file__)


if __name__ == "__main__":
    main()
