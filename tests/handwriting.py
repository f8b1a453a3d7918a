"""Digits drawn with a pen of any width, and what cameras do to them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

# Each digit's strokes as points (x, y) of a square with sides of 1, joined by straight lines.
STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [
        [
            (0.5, 0.1),
            (0.32, 0.2),
            (0.25, 0.5),
            (0.33, 0.8),
            (0.5, 0.9),
            (0.67, 0.8),
            (0.75, 0.5),
            (0.67, 0.2),
            (0.5, 0.1),
        ]
    ],
    1: [[(0.5, 0.1), (0.48, 0.9)]],
    2: [[(0.28, 0.28), (0.38, 0.13), (0.55, 0.1), (0.7, 0.2), (0.68, 0.4), (0.5, 0.62), (0.27, 0.88), (0.75, 0.86)]],
    3: [
        [(0.3, 0.15), (0.5, 0.1), (0.68, 0.2), (0.65, 0.38), (0.45, 0.48)],
        [(0.45, 0.48), (0.68, 0.58), (0.7, 0.76), (0.52, 0.9), (0.28, 0.84)],
    ],
    4: [[(0.35, 0.12), (0.28, 0.52), (0.72, 0.5)], [(0.66, 0.15), (0.62, 0.9)]],
    5: [
        [(0.7, 0.12), (0.36, 0.12), (0.32, 0.45), (0.52, 0.42), (0.68, 0.55), (0.68, 0.75), (0.52, 0.88), (0.28, 0.84)]
    ],
    6: [
        [(0.6, 0.1), (0.42, 0.3), (0.32, 0.6), (0.38, 0.84), (0.55, 0.9), (0.67, 0.78), (0.63, 0.6), (0.48, 0.55)],
        [(0.48, 0.55), (0.33, 0.68)],
    ],
    7: [[(0.25, 0.14), (0.72, 0.13), (0.58, 0.45), (0.46, 0.9)]],
    8: [
        [(0.52, 0.48), (0.34, 0.34), (0.36, 0.16), (0.52, 0.1), (0.67, 0.18), (0.65, 0.34), (0.5, 0.48), (0.33, 0.64)],
        [(0.33, 0.64), (0.32, 0.8), (0.5, 0.9), (0.68, 0.8), (0.66, 0.64), (0.5, 0.48)],
    ],
    9: [
        [(0.66, 0.3), (0.5, 0.46), (0.34, 0.4), (0.32, 0.22), (0.46, 0.1), (0.62, 0.15), (0.67, 0.3), (0.62, 0.6)],
        [(0.62, 0.6), (0.54, 0.9)],
    ],
}


def written(digits: list[int], side: int = 200, pen: float = 0.08, paper: int = 255, ink: int = 0) -> Image.Image:
    """The digits side by side, each on `side` x `side` pixels; the pen's width is a share of the side."""
    image = Image.new("L", (side * len(digits), side), paper)
    draw = ImageDraw.Draw(image)
    radius = pen * side / 2
    for place, digit in enumerate(digits):
        for stroke in STROKES[digit]:
            points = [(side * (place + x), side * y) for x, y in stroke]
            draw.line(points, fill=ink, width=max(1, round(2 * radius)), joint="curve")
            for x, y in (points[0], points[-1]):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
    return image


def turned(image: Image.Image, degrees: float) -> Image.Image:
    """Turned anticlockwise, on paper as in the first corner."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=image.getpixel((0, 0)))


def lit(image: Image.Image, towards: float, darkest: float = 0.4, noise: float = 3) -> Image.Image:
    """In the light of a lamp at `towards` degrees, which falls to a share of `darkest`, seen by a cheap camera."""
    x, y = np.meshgrid(np.arange(image.width), np.arange(image.height))
    way = x * np.cos(np.radians(towards)) + y * np.sin(np.radians(towards))
    light = darkest + (1 - darkest) * (way - way.min()) / np.ptp(way)
    grey = np.asarray(image) * light + np.random.default_rng(0).normal(0, noise, light.shape)
    return Image.fromarray(np.rint(grey.clip(0, 255)).astype(np.uint8))
