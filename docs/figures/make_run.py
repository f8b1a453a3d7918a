"""Makes run.svg: what `xpnn plot` draws, of a run that overfits.

python docs/figures/make_run.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

import xpnn


def main() -> None:
    mpl.rcParams |= {"svg.hashsalt": "xpnn", "svg.fonttype": "path"}
    data = xpnn.load("digits")
    rows = data.train.take(slice(400))
    assert rows.targets is not None
    generator = np.random.default_rng(0)
    wrong = generator.random(len(rows)) < 0.2
    labels = np.where(wrong, generator.integers(0, 10, len(rows)), rows.targets)
    net = xpnn.MLP([64, 200, 10], seed=1)
    adam = xpnn.optimizers.adam(xpnn.schedules.cosine(0.004, 60 * 13))
    epochs = xpnn.train(net, (rows.inputs, labels), validation=data.test, epochs=60, optimizer=adam)
    xpnn.plot_history([xpnn.record_of(epoch) for epoch in epochs], Path(__file__).with_name("run.svg"))


if __name__ == "__main__":
    main()
