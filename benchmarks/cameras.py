"""Pages of digits, and what pens, papers, lamps and cameras make of them; for photos.py.

A page is what paper reflects: (height, width) float32, 1 the paper and 0 the ink. A photo is a picture of 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Page = NDArray[np.float32]
BICUBIC = Image.Resampling.BICUBIC
HEIGHT = 600  # pixels of a digit's square


def enlarged(page: Page, height: int = HEIGHT) -> Page:
    width = round(page.shape[1] * height / page.shape[0])
    return np.asarray(Image.fromarray(page).resize((width, height), BICUBIC)).clip(0, 1)


def sharp(page: Page) -> Page:
    """The same strokes as by a pen, whose edges are narrow."""
    return (3 * (page - 0.5) + 0.5).clip(0, 1)


def paper_of(page: Page) -> float:
    return float(np.median(np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]])))


def cropped(page: Page) -> Page:
    """Without the paper around the strokes."""
    is_ink = page < paper_of(page) / 2
    rows, columns = np.flatnonzero(is_ink.any(axis=1)), np.flatnonzero(is_ink.any(axis=0))
    return page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def padded(page: Page, margin: int, value: float | None = None) -> Page:
    return np.pad(page, margin, constant_values=paper_of(page) if value is None else value)


def side_by_side(pages: Sequence[Page]) -> Page:
    return np.concatenate(pages, axis=1)


def of_sizes(pages: Sequence[Page], heights: Sequence[int], base: float) -> Page:
    """Digits of different heights side by side; 0: their tops are level, 1: their feet are."""
    tallest, parts = max(heights), []
    for page, height in zip(pages, heights, strict=True):
        digit = enlarged(page, height)
        above = round(base * (tallest - height))
        parts.append(np.pad(digit, ((above, tallest - height - above), (0, 0)), constant_values=paper_of(page)))
    return side_by_side(parts)


def touching(pages: Sequence[Page], overlap: float) -> Page:
    """Digits so near one another that their ink overlaps by a share of their height, somewhere."""
    height, paper = 400, paper_of(pages[0])
    digits = [enlarged(cropped(page), height) for page in pages]
    room = sum(digit.shape[1] for digit in digits) + 2 * height
    line, x = np.full((2 * height, room), paper, dtype=np.float32), height // 2
    line[height // 2 : -height // 2, x : x + digits[0].shape[1]] = digits[0]
    for digit in digits[1:]:
        before = line[height // 2 : -height // 2]
        right = np.array([np.max(np.flatnonzero(row < paper / 2), initial=-height) for row in before])
        left = np.array([np.min(np.flatnonzero(row < paper / 2), initial=3 * height) for row in digit])
        x = int(np.max(right - left)) - round(overlap * height)  # where they touch, and further
        place = before[:, x : x + digit.shape[1]]
        np.minimum(place, digit, out=place)
    ends = np.flatnonzero((line < paper / 2).any(axis=0))
    return line[:, ends[0] - height // 2 : ends[-1] + height // 2]


def turned(page: Page, degrees: float) -> Page:
    return np.asarray(Image.fromarray(page).rotate(degrees, BICUBIC, expand=True, fillcolor=paper_of(page))).clip(0, 1)


def keystone(page: Page, corners: NDArray[Any], around: float | None = None) -> Page:
    """As seen askew: the page's corners, clockwise from the upper left, move inwards by shares of its sides."""
    height, width = page.shape
    whole = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=float)
    inwards = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    seen = whole + inwards * corners * (width, height)
    rows, right = [], []
    for (x, y), (u, v) in zip(seen, whole, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    map_ = np.linalg.solve(np.array(rows), np.array(right)).tolist()
    fill = paper_of(page) if around is None else around
    image = Image.fromarray(page)
    return np.asarray(image.transform(image.size, Image.Transform.PERSPECTIVE, map_, BICUBIC, fillcolor=fill)).clip(
        0, 1
    )


def coordinates(page: Page, towards: float) -> Page:
    """0 at one end of the page to 1 at the other, in the direction of so many degrees."""
    x, y = np.meshgrid(np.arange(page.shape[1]), np.arange(page.shape[0]))
    way = x * np.cos(np.radians(towards)) + y * np.sin(np.radians(towards))
    return ((way - way.min()) / np.ptp(way)).astype(np.float32)


def lamp(page: Page, x: float, y: float, height: float) -> Page:
    """The light of a lamp above the point (x, y), both shares of the sides, at `height` longer sides: 1 at most.

    It falls as the distance's square and with the cosine of its angle.
    """
    longer, (down, right) = max(page.shape), np.indices(page.shape, dtype=np.float32)
    squared = ((right - x * page.shape[1]) ** 2 + (down - y * page.shape[0]) ** 2) / longer**2
    light = (height**2 / (height**2 + squared)) ** 1.5
    return light / light.max()


def shadow(page: Page, towards: float, where: float, depth: float, softness: float) -> Page:
    """Light but for a shadow with a straight edge, `softness` of the page wide."""
    return 1 - depth / (1 + np.exp(((where - coordinates(page, towards)) / softness).clip(-50, 50)))


def finger(page: Page, where: float, reach: float, width: float) -> Page:
    """1, and 0 under a finger that comes in from the lower border, with a soft edge."""
    down, right = np.indices(page.shape, dtype=np.float32)
    radius = width * page.shape[1] / 2
    top = page.shape[0] * (1 - reach) + radius
    across = (right - where * page.shape[1]) / radius
    along = ((top - down) / radius).clip(0)
    return 1 / (1 + np.exp(((1 - np.hypot(across, along)) * 20).clip(-50, 50)))


def lined(page: Page, spacing: float, strength: float, width: float, squared: bool, first: float) -> Page:
    """On ruled or squared paper, `spacing` pixels a line."""
    rules = np.ones_like(page)
    for axis in (0, 1) if squared else (0,):
        at = np.indices(page.shape)[axis] - first * spacing
        away = np.abs((at + spacing / 2) % spacing - spacing / 2)
        rules = np.minimum(rules, 1 - strength * (width / 2 + 0.5 - away).clip(0, 1))
    return page * rules.astype(np.float32)


def blurred(page: Page, radius: float) -> Page:
    grey = Image.fromarray(np.rint(page * 255).astype(np.uint8))
    return np.asarray(grey.filter(ImageFilter.GaussianBlur(radius))).astype(np.float32) / 255


def coloured(
    page: Page, paper: Sequence[float], ink: Sequence[float], light: Page | float = 1.0
) -> NDArray[np.float32]:
    """(height, width, 3) from 0 to 255: paper and ink of these colours, in this light."""
    lit = np.broadcast_to(light, page.shape)[..., None]
    return ((np.array(ink) + (np.array(paper) - np.array(ink)) * page[..., None]) * lit).astype(np.float32)


def photo(pixels: NDArray[Any], noise: float = 0.0, rng: np.random.Generator | None = None) -> Image.Image:
    """Pixels from 0 to 255 as a picture, with a sensor's noise of this standard deviation."""
    if rng is not None:
        pixels = pixels + rng.normal(0, noise, pixels.shape)
    return Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8))
