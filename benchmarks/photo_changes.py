"""The kinds of photos of photos.py: each makes a picture from pages of digits, at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cameras
import numpy as np
from cameras import Page
from PIL import Image

Rng = np.random.Generator


class Change(NamedTuple):
    """How a page becomes a photo; of how many digits; how its file is written."""

    make: Callable[[Sequence[Page], Rng], Image.Image]
    digits: int = 1
    save: dict[str, object] = {"format": "PNG", "compress_level": 1}  # noqa: RUF012  Python copies none of them


def grey(page: Page) -> Image.Image:
    return cameras.photo(255 * page)


def large(pages: Sequence[Page]) -> Page:
    return cameras.enlarged(cameras.side_by_side(pages))


def turned(pages: Sequence[Page], rng: Rng) -> Image.Image:
    return grey(cameras.turned(large(pages), rng.uniform(-8, 8)))


def random_lamp(page: Page, rng: Rng) -> Page:
    """The darkest corner has a fifth to nine tenths of the light."""
    return cameras.lamp(page, rng.uniform(-0.2, 1.2), rng.uniform(-0.2, 1.2), rng.uniform(0.7, 2))


def lit(pages: Sequence[Page], rng: Rng) -> Image.Image:
    page = large(pages)
    return grey(page * random_lamp(page, rng))


def inverted(pages: Sequence[Page], rng: Rng) -> Image.Image:
    return grey(1 - large(pages))


def all_at_once(pages: Sequence[Page], rng: Rng) -> Image.Image:
    page = cameras.turned(large(pages), rng.uniform(-8, 8))
    page = page if rng.random() < 0.5 else 1 - page
    return grey((0.05 + 0.9 * page) * random_lamp(page, rng))


def shadowed(depth: tuple[float, float]) -> Callable[[Sequence[Page], Rng], Image.Image]:
    def make(pages: Sequence[Page], rng: Rng) -> Image.Image:
        page = large(pages)
        softness = rng.uniform(0.002, 0.02)
        light = cameras.shadow(page, rng.uniform(0, 360), rng.uniform(0.2, 0.8), rng.uniform(*depth), softness)
        return grey((0.1 + 0.85 * page) * light)

    return make


def ruled(squared: bool) -> Callable[[Sequence[Page], Rng], Image.Image]:
    def make(pages: Sequence[Page], rng: Rng) -> Image.Image:
        page = large(pages)
        spacing = page.shape[0] * (rng.uniform(0.15, 0.3) if squared else rng.uniform(0.3, 0.6))
        page = cameras.lined(page, spacing, rng.uniform(0.15, 0.4), rng.uniform(2, 5), squared, rng.random())
        return grey(0.1 + 0.85 * cameras.turned(page, rng.uniform(-3, 3)))

    return make


def dark_rules(pages: Sequence[Page], rng: Rng) -> Image.Image:
    page = large(pages)
    page = cameras.lined(page, page.shape[0] * rng.uniform(0.3, 0.6), rng.uniform(0.5, 0.8), 5, False, rng.random())
    return grey(0.1 + 0.85 * page)


PAPERS = ((250, 240, 200), (210, 225, 245), (235, 200, 205), (200, 225, 195), (215, 180, 130))
INKS = ((40, 60, 150), (180, 40, 40), (30, 110, 60), (30, 30, 40))  # ballpoints: blue, red, green, black


def in_colours(pages: Sequence[Page], rng: Rng) -> Image.Image:
    return cameras.photo(cameras.coloured(large(pages), PAPERS[rng.integers(5)], INKS[rng.integers(4)]))


def pencil(pages: Sequence[Page], rng: Rng) -> Image.Image:
    page, level = large(pages), rng.uniform(0.55, 0.7)
    grain = rng.uniform(0.6, 1, page.shape)  # graphite leaves the paper's hollows white
    return cameras.photo(255 * (0.93 - (0.93 - level) * (1 - page) * grain), 3, rng)


def plain(pages: Sequence[Page], rng: Rng) -> Image.Image:
    return grey(large(pages))


def noisy(pages: Sequence[Page], rng: Rng) -> Image.Image:
    return cameras.photo(40 + 170 * large(pages), rng.uniform(8, 20), rng)


def megapixels(pages: Sequence[Page], rng: Rng) -> Image.Image:
    page = cameras.padded(cameras.enlarged(pages[0], 2400), 300)
    page = np.pad(page, ((0, 0), (500, 500)), constant_values=cameras.paper_of(page))
    return grey(page * random_lamp(page, rng))


def of_sizes(pages: Sequence[Page], rng: Rng) -> Image.Image:
    return grey(cameras.of_sizes(pages, rng.integers(330, 600, len(pages)).tolist(), rng.random()))


def two_lines(pages: Sequence[Page], rng: Rng) -> Image.Image:
    upper, lower = large(pages[:3]), large(pages[3:])
    space = np.full((int(rng.integers(60, 300)), upper.shape[1]), cameras.paper_of(upper), dtype=np.float32)
    return grey(np.concatenate([upper, space, lower]))


def touching(pages: Sequence[Page], rng: Rng) -> Image.Image:
    return grey(cameras.touching(pages, rng.uniform(0.0, 0.05)))


def askew(pages: Sequence[Page], rng: Rng) -> Image.Image:
    return grey(cameras.keystone(large(pages), rng.uniform(0, 0.12, (4, 2))))


def on_table(pages: Sequence[Page], rng: Rng) -> Image.Image:
    page = large(pages)
    table = rng.uniform(0.1, 0.45)
    page = cameras.padded(0.1 + 0.85 * page, round(rng.uniform(0.05, 0.2) * page.shape[0]), table)
    return cameras.photo(255 * cameras.keystone(page, rng.uniform(0, 0.06, (4, 2)), table), 3, rng)


def held(pages: Sequence[Page], rng: Rng) -> Image.Image:
    page = 0.1 + 0.85 * cameras.padded(large(pages), 60)
    seen = cameras.finger(page, rng.uniform(0, 1), rng.uniform(0.08, 0.16), rng.uniform(0.15, 0.3))
    pixels = cameras.coloured(page, (255, 255, 255), (0, 0, 0))
    return cameras.photo(pixels * seen[..., None] + np.array((190, 130, 105)) * (1 - seen[..., None]))


def phone(pages: Sequence[Page], rng: Rng) -> Image.Image:
    """All that a phone's photo of a note has: seen askew, a lamp and the phone's own soft shadow, noise and JPEG."""
    page = cameras.keystone(cameras.turned(large(pages), rng.uniform(-6, 6)), rng.uniform(0, 0.05, (4, 2)))
    soft = cameras.shadow(
        page, rng.uniform(0, 360), rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.3), rng.uniform(0.03, 0.1)
    )
    paper, ink = rng.uniform(220, 250, 3), INKS[rng.integers(4)]
    pixels = cameras.coloured(cameras.blurred(page, rng.uniform(0.5, 2)), paper, ink, random_lamp(page, rng) * soft)
    return cameras.photo(pixels, rng.uniform(2, 8), rng)


UPSIDE_DOWN = Image.Exif()
UPSIDE_DOWN[0x0112] = 3


def upside_down(pages: Sequence[Page], rng: Rng) -> Image.Image:
    return grey(large(pages)).rotate(180)


JPEG = {"format": "JPEG", "quality": 85}
CHANGES = {
    "enlarged": Change(plain),
    "turned by up to 8 degrees": Change(turned),
    "unevenly lit": Change(lit),
    "inverted": Change(inverted),
    "three side by side": Change(plain, 3),
    "three, turned, lit, inverted": Change(all_at_once, 3),
    "colours": Change(in_colours, 3),
    "pencil": Change(pencil, 3),
    "JPEG, quality 30": Change(plain, 3, {"format": "JPEG", "quality": 30}),
    "noise": Change(noisy, 3),
    "12 megapixels": Change(megapixels, 1, JPEG),
    "EXIF, upside down": Change(upside_down, 3, JPEG | {"exif": UPSIDE_DOWN}),
    "sizes": Change(of_sizes, 3),
    "askew": Change(askew, 3),
    "phone": Change(phone, 3, JPEG),
    "shadow's edge, 25 to 35 %": Change(shadowed((0.25, 0.35)), 3),
    "shadow's edge, 35 to 50 %": Change(shadowed((0.35, 0.5)), 3),
    "faint ruled lines": Change(ruled(False), 3),
    "faint squares": Change(ruled(True), 3),
    "dark ruled lines": Change(dark_rules, 3),
    "dark table around": Change(on_table, 3),
    "finger": Change(held, 3),
    "two lines": Change(two_lines, 6),
    "two touch": Change(touching, 2),
    "three touch": Change(touching, 3),
}
