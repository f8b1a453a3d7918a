"""Makes augmentation.svg: a digit of the embedded ones, and what each kind of augmentation makes of it.

python docs/figures/make_augmentation.py
"""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from style import save

import xpnn
from xpnn import Augmentation
from xpnn.recipes import RECIPES

KINDS = {
    "shift = 1": Augmentation(shift=1),
    "rotate = 10": Augmentation(rotate=10),
    "zoom = 0.2": Augmentation(zoom=0.2),
    "shear = 20": Augmentation(shear=20),
    "elastic = 34": Augmentation(elastic=34),
    "cutout = 8": Augmentation(cutout=8),
    "all but shift, cutout": RECIPES["augmented"].augmentation,
}
SIDE, COPIES, SHADES, ROW = 28, 4, 8, 15


def digit() -> np.ndarray:
    """(784,): a digit of 8 x 8 pixels as a smooth one of 28 x 28, with a margin as MNIST's have."""
    small = xpnn.load("digits").train.inputs[ROW].reshape(8, 8) / 255
    places = np.linspace(0, 7, 20)
    along = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(8)))
    large = np.pad(along @ small @ along.T, 4)
    return np.clip(2 * large - 0.7, 0, 1).reshape(-1)


def main() -> None:
    pixels = digit().astype("float32")
    figure, grid = plt.subplots(len(KINDS), 1 + COPIES, figsize=(6.6, 8.6), layout="constrained")
    for line, (name, settings) in zip(grid, KINDS.items(), strict=True):
        pictures = [pixels, *xpnn.augmented(np.repeat(pixels[None], COPIES, axis=0), settings, seed=1)]
        for axes, picture in zip(line, pictures, strict=True):
            shades = np.rint(picture.reshape(SIDE, SIDE) * (SHADES - 1)) / (SHADES - 1)
            axes.imshow(1 - shades, cmap="gray", vmin=0, vmax=1, interpolation="none")
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[["top", "right"]].set_visible(True)
        line[0].set_ylabel(name, fontsize=9, fontweight="bold")
    grid[0, 0].set_title("as it is")
    grid[0, 2].set_title("as training sees it", loc="left")
    save(figure, __file__)


if __name__ == "__main__":
    main()
