"""Ink told from paper, where the light is uneven.

Each pixel is compared with the paper around it, and its difference with that of the ink around it: the paper's surface
goes on under the strokes as the mean of the paper nearby, which follows shadows (Gatos, Pratikakis & Perantonis,
"Adaptive degraded document image binarization", 2006). Means over windows are taken from integral images, in a time
that doesn't depend on the window (Bradley & Roth, "Adaptive thresholding using the integral image", 2007). What has an
edge but is wider than any stroke, such as a hard shadow or the table around the paper, is first taken away by a top-hat
transform (Meyer, "Iterative image transformations for an automatic screening of cervical smears", 1979).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_PHOTO = 64  # pixels of the shorter side; a smaller picture is a drawing, on paper of one brightness
FAINTEST = 24  # grey levels of 255 by which ink must differ from paper
FEWEST = 4  # pixels of ink, below which it is noise
WIDE, NARROW = 0.3, 0.125  # of the shorter side: how far windows reach, over bold strokes and within most shadows
EDGE = 0.4  # of the ink's strength: what is fainter is the remains of a shadow's edge
STROKE = 0.3  # of the shorter side: no stroke is so wide
ROUNDS = 3  # of paper and ink, each found from the other

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]


def separate_ink(grey: Grey) -> Grey | None:
    """How strong the ink is in each pixel, whether it is darker or lighter than its paper.

    grey: (height, width) of 0 to 255.

    Returns (height, width) float32, 0 for paper; None if all is paper. In a photo (64 pixels or more either way) the
    ink around a pixel counts as 1, and so does what is stronger; in a smaller picture it is in grey levels, as drawn.
    """
    border = np.ones(grey.shape, dtype=bool)
    edge = max(1, min(grey.shape) // 20)
    border[edge:-edge, edge:-edge] = False
    flat = grey - _surface(grey, border)
    is_photo = min(grey.shape) >= SMALLEST_PHOTO
    difference = flat - _mean(flat, np.ones_like(border), round(WIDE * min(grey.shape))) if is_photo else flat
    sign = -1 if np.sum(difference**3) < 0 else 1  # the cube lets the few pixels of ink outvote the many of the paper
    if is_photo:
        flat = sign * _top_hat(sign * grey, round(STROKE * min(grey.shape) / 2))
        difference = flat - _mean(flat, np.ones_like(border), round(WIDE * min(grey.shape)))
    strength = difference = sign * difference
    is_ink = difference > max(FAINTEST, _otsu(difference.clip(0)) / 2) if is_photo else _stands_out(difference, border)
    for _ in range(ROUNDS if is_photo else 0):
        if not _is_enough(difference, is_ink):
            return None
        reach = round(NARROW * min(grey.shape))
        difference = sign * (flat - _mean(flat, ~_grown(is_ink), reach))
        strength = (difference / _level(difference, is_ink, reach)).clip(0, 1)
        is_ink = _stands_out(difference, ~is_ink) & (strength > EDGE)
    return np.where(is_ink, strength, np.float32(0)) if _is_enough(difference, is_ink) else None


def _stands_out(difference: Grey, paper: Mask) -> Mask:
    """The pixels that differ from the paper by more than its own noise; `paper` says where mostly paper is."""
    # The paper's own spread (standard deviation) is taken on the side where no ink is. Four spreads leave 3 pixels
    # of 100,000 of its noise; a third of the way to the ink keeps the strokes' soft edges.
    below = -difference[paper & (difference <= 0)]
    spread = 1.4826 * np.median(below) if below.size else 0.0
    mask: Mask = difference > max(4 * spread, _otsu(difference.clip(0)) / 3)
    return mask


def _is_enough(difference: Grey, is_ink: Mask) -> bool:
    count = np.count_nonzero(is_ink)
    return bool(count >= max(FEWEST, 2e-4 * is_ink.size) and difference[is_ink].mean() >= FAINTEST)


def _level(difference: Grey, is_ink: Mask, reach: int) -> Grey:
    """The mean difference of the ink around each pixel, drawn to that of all ink where there is little."""
    total, count = _sums(difference, is_ink, reach)
    few = 20 * reach  # pixels: more than a line on the paper has, less than a digit
    level: Grey = np.maximum((total + few * difference[is_ink].mean()) / (count + few), FAINTEST)  # the rest is no ink
    return level


def _grown(mask: Mask) -> Mask:
    """The mask and all that is within two pixels of it: a stroke's blurred edge is no paper."""
    near: Mask = _sums(mask, mask, 2)[1] > 0.5
    return near


def _mean(values: Grey, where: Mask, reach: int) -> Grey:
    """The mean around each pixel of the values that count; of all of these, where none is near."""
    total, count = _sums(values, where, reach)
    everywhere = values[where].mean() if where.any() else np.float32(0)
    mean: Grey = np.where(count > 0.5, total / np.maximum(count, 1), everywhere)
    return mean


def _sums(values: NDArray[Any], where: Mask, reach: int) -> tuple[Grey, Grey]:
    """For each pixel the sum of the values that count, and their number, within `reach` pixels either way."""

    def sums(array: NDArray[np.float64]) -> Grey:
        height, width = array.shape
        integral = np.zeros((height + 1, width + 1))
        array.cumsum(axis=0).cumsum(axis=1, out=integral[1:, 1:])
        y, x = np.arange(height), np.arange(width)
        low, high = np.maximum(y - reach, 0), np.minimum(y + reach + 1, height)
        rows = integral[high] - integral[low]
        low, high = np.maximum(x - reach, 0), np.minimum(x + reach + 1, width)
        windows: Grey = (rows[:, high] - rows[:, low]).astype(np.float32)
        return windows

    return sums(np.where(where, values, 0).astype(np.float64)), sums(where.astype(np.float64))


def _surface(grey: Grey, border: Mask) -> Grey:
    """The paper's brightness under every pixel, (height, width), as the border shows it.

    In a photo it is a quadratic surface, which follows a lamp on one side. Least absolute errors, found as least
    squares that are weighted anew ten times, make it pass by strokes that reach the border.
    """
    height, width = grey.shape
    if min(height, width) < SMALLEST_PHOTO:
        return np.full_like(grey, np.median(grey[border]))
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    powers = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    terms = np.stack([np.broadcast_to(y**i * x**j, grey.shape)[border] for i, j in powers], axis=1)
    weights = np.ones(len(terms))
    for _ in range(10):
        scales = np.sqrt(weights)
        factors = np.linalg.lstsq(terms * scales[:, None], grey[border] * scales, rcond=None)[0]
        weights = 1 / (1 + np.abs(grey[border] - terms @ factors))
    surface: Grey = sum(factor * y**i * x**j for factor, (i, j) in zip(factors, powers, strict=True)).astype(np.float32)
    return surface


def _top_hat(values: Grey, reach: int) -> Grey:
    """How far the values are above what windows of that reach can't get under: narrow ridges, with no step beside them.

    The windows' least values, and the greatest of these, leave steps where they are.
    """
    opened = values
    for sign in (-1, 1):
        for axis in (0, 1):
            opened = sign * _greatest(sign * opened, reach, axis)
    return values - opened


def _greatest(values: Grey, reach: int, axis: int) -> Grey:
    """The greatest value within `reach` pixels either way along the axis, from windows of doubled lengths."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (reach, reach)
    greatest, length, wanted = np.pad(values, pad, constant_values=-np.inf).swapaxes(0, axis), 1, 2 * reach + 1
    while length < wanted:
        step = min(length, wanted - length)
        greatest = np.maximum(greatest[step:], greatest[:-step])
        length += step
    return greatest.swapaxes(0, axis)


def _otsu(values: Grey) -> float:
    """Otsu's threshold, which parts the values into two groups as unlike as can be; 0 if none differ."""
    if np.ptp(values) == 0:
        return 0.0
    counts, edges = np.histogram(values, bins=256)
    middles = (edges[1:] + edges[:-1]) / 2
    below, sum_below = np.cumsum(counts)[:-1], np.cumsum(counts * middles)[:-1]
    total, mean = counts.sum(), np.average(middles, weights=counts)
    between = (mean * below - sum_below) ** 2 / (below * (total - below))
    return float(middles[np.argmax(between)])
