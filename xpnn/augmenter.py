"""What the train step does to augment a batch: maps from numbers drawn by chance, and the pictures through them.

All kinds say from where in a picture each pixel of the new one comes, and that is one matrix product: of the numbers
drawn for a picture with fixed functions of the pixel's place, which are 1, x and y for the affine map, and bumps for
the elastic field. Between the pixels the picture is interpolated bilinearly, and outside of it lies the background.
docs/augmentation.md has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from xpnn.augmentation import Augmentation, side_of
from xpnn.backend import Array, ArrayModule, matmul, take, xp_of
from xpnn.noise import Draws, Source, Uniform

MAPS, FIELDS = 0xFFFFFFF0, 0xFFFFFFF1  # streams of the keys; those of `xpnn.regularization` count from 0
BUMPS = 7  # of the elastic field, along each side of the picture
SIGMA = 4.0  # of a bump, where a side has SIDE pixels; so far apart are they
SIDE = 28
AFFINE = 3  # functions of the affine map: 1, x, y
FAR = 1e6  # pixels, from where there is background alone


class Augmenter:
    """What `settings` mean for batches of square pictures.

    xp, dtype:  of the pictures, which come as rows (n, side * side).
    rows:       the most of a batch.
    background: the value that lies around the pictures, and in the holes that are cut out.

    After its first epoch's beginning nothing here allocates, and nothing asks the device for a value.
    """

    def __init__(
        self, settings: Augmentation, xp: ArrayModule, side: int, rows: int, dtype: str, background: float, seed: int
    ) -> None:
        self.settings, self.side = settings, side
        self.maps, sources = Uniform(xp, 7, rows, dtype), []
        if settings.elastic:
            self.fields = Uniform(xp, rows, 2 * BUMPS * BUMPS, dtype)
            sources = [(FIELDS, self.fields)]
        everything: list[tuple[int, Source]] = [(MAPS, self.maps), *sources]
        self.draws = Draws(xp, everything, seed)
        self.functions = _functions(xp, side, settings.elastic, dtype)
        self.coefficients = xp.zeros((rows, 2, len(self.functions)), dtype=dtype)
        self.vectors = xp.empty((4, rows), dtype=dtype)
        self.sources = xp.empty((rows, 2, side * side), dtype=dtype)  # x and y of where each pixel comes from
        self.corners = xp.empty_like(self.sources)
        self.values = xp.empty((2, rows, side * side), dtype=dtype)
        self.indices = xp.empty((rows, side * side), dtype="int64")
        self.line = xp.arange(side, dtype=dtype)
        self.near = xp.empty((2, rows, side), dtype=dtype)
        # A picture has a column of background on its left, a row above and one below; what is right of it is the next
        # row's left. Beyond the last one's end lies as much as a pixel there would take in.
        area = (side + 2) * (side + 1)
        self.starts = (xp.arange(rows, dtype="int64") * area).reshape(rows, 1)
        self.padded = xp.zeros(rows * area + side + 3, dtype=dtype)
        self.padded.fill(background)
        self.inside = self.padded[: rows * area].reshape(rows, side + 2, side + 1)[:, 1:-1, 1:]

    def augment(self, x: Array, position: Array, product: Callable[[Array, Array, Array], None]) -> None:
        """Change the pictures x (n, side * side) in place; `position`, int64 (1,), is the update's number in the epoch.

        product: writes a @ b into its third argument.
        """
        self.draws.draw(position)
        self._map()
        self._trace(len(x), product)
        self._sample(x)

    def _map(self) -> None:
        """The coefficients of the maps, and those of the fields: from pixels of the new pictures to the old ones'."""
        xp, s, to = xp_of(self.maps.values), self.settings, self.coefficients
        angle, zoom, shear, shift_x, shift_y, *_ = self.maps.values
        cos, sin, scratch, sum_ = self.vectors
        xp.multiply(angle, math.radians(s.rotate), out=angle)
        xp.multiply(zoom, s.zoom, out=zoom)
        xp.add(zoom, 1, out=zoom)
        for function, values in ((xp.cos, cos), (xp.sin, sin)):
            function(angle, out=values)
            xp.divide(values, zoom, out=values)
        xp.multiply(shear, math.tan(math.radians(s.shear)), out=shear)
        x_by_x, x_by_y, y_by_x, y_by_y = (to[:, axis, i] for axis in (0, 1) for i in (1, 2))
        xp.multiply(shear, sin, out=scratch)
        xp.add(cos, scratch, out=x_by_x)
        xp.multiply(shear, cos, out=scratch)
        xp.subtract(sin, scratch, out=x_by_y)
        xp.negative(sin, out=y_by_x)
        xp.copyto(y_by_y, cos)
        xp.multiply(self.maps.values[3:5], s.shift, out=self.maps.values[3:5])
        for axis in (0, 1):
            xp.multiply(to[:, axis, 1], shift_x, out=scratch)
            xp.multiply(to[:, axis, 2], shift_y, out=sum_)
            xp.add(sum_, scratch, out=sum_)
            xp.subtract((self.side + 1) / 2, sum_, out=to[:, axis, 0])
        if s.elastic:
            xp.copyto(to[:, :, AFFINE:], self.fields.values.reshape(len(to), 2, BUMPS * BUMPS))

    def _trace(self, n: int, product: Callable[[Array, Array, Array], None]) -> None:
        """Where each pixel of n pictures comes from: the upper left of four places in `padded`, and shares."""
        xp, sources, corners, indices = xp_of(self.padded), self.sources[:n], self.corners[:n], self.indices[:n]
        k, pixels = self.functions.shape
        product(self.coefficients[:n].reshape(2 * n, k), self.functions, sources.reshape(2 * n, pixels))
        if self.settings.cutout:
            self._cut_out(sources)
        xp.clip(sources, 0, self.side + 1, out=sources)
        xp.floor(sources, out=corners)
        xp.subtract(sources, corners, out=sources)
        column, row = corners[:, 0], corners[:, 1]
        xp.multiply(row, self.side + 1, out=row)
        xp.add(row, column, out=row)
        indices[...] = row
        xp.add(indices, self.starts[:n], out=indices)

    def _cut_out(self, sources: Array) -> None:
        """A square of each picture comes from far away, where there is background."""
        xp, n, side, size = xp_of(sources), len(sources), self.side, self.settings.cutout
        middle = self.maps.values[5:7]
        xp.multiply(middle, side / 2, out=middle)
        xp.add(middle, side / 2, out=middle)
        xp.floor(middle, out=middle)
        xp.minimum(middle, side - 1, out=middle)  # the largest number drawn is rounded to 1
        xp.add(middle, (size - 1) / 2 - size // 2, out=middle)
        xp.subtract(self.line, middle[:, :, None], out=self.near)
        xp.absolute(self.near, out=self.near)
        xp.less(self.near, size / 2, out=self.near)
        xp.multiply(self.near, math.sqrt(FAR), out=self.near)
        hole, (columns, rows) = self.values[0, :n], self.near[:, :n]
        xp.multiply(rows[:, :, None], columns[:, None, :], out=hole.reshape(n, side, side))
        xp.add(sources[:, 0], hole, out=sources[:, 0])

    def _sample(self, x: Array) -> None:
        """The pictures from where their pixels come, by bilinear interpolation."""
        xp, n, wide = xp_of(x, self.padded), len(x), self.side + 1
        xp.copyto(self.inside[:n], x.reshape(n, self.side, self.side))
        indices, (lower, right) = self.indices[:n], self.values[:, :n]
        along, down = self.sources[:n, 0], self.sources[:n, 1]
        for start, left in ((0, x), (wide, lower)):
            take(self.padded[start:], indices, out=left)
            take(self.padded[start + 1 :], indices, out=right)
            _mix(left, right, along)
        _mix(x, lower, down)


def _mix(a: Array, b: Array, share: Array) -> None:
    """a + (b - a) share, into a; b is lost."""
    xp = xp_of(a, b, share)
    xp.subtract(b, a, out=b)
    xp.multiply(b, share, out=b)
    xp.add(a, b, out=a)


def _functions(xp: ArrayModule, side: int, elastic: float, dtype: str) -> Array:
    """(functions, side * side): 1, x and y from the middle of the picture; then the bumps, if there are any.

    White noise smoothed by a Gaussian is a sum of Gaussians. Where they stand sigma apart, with weights of as much
    variance as the noise between them has in all, the sum has the same mean, variance and correlation.
    """
    from_middle = [place - (side - 1) / 2 for place in range(side)]
    count = BUMPS * BUMPS if elastic else 0
    functions = xp.empty((AFFINE + count, side, side), dtype=dtype)
    functions[0].fill(1)
    functions[1] = xp.asarray(from_middle, dtype=dtype)
    functions[2] = xp.asarray([[place] for place in from_middle], dtype=dtype)
    if elastic:
        spacing = side / BUMPS
        bumps = [
            [math.exp(-0.5 * ((place + 0.5) / spacing - (bump + 0.5)) ** 2) for place in range(side)]
            for bump in range(BUMPS)
        ]
        along = xp.asarray(bumps, dtype=dtype)
        squares = functions[AFFINE:].reshape(BUMPS, BUMPS, side, side)
        xp.multiply(along[:, None, :, None], along[None, :, None, :], out=squares)
        xp.multiply(squares, elastic / (2 * math.pi * SIGMA) * side / SIDE, out=squares)
    return functions.reshape(len(functions), side * side)


def augmented(pictures: Array, settings: Augmentation, background: float = 0.0, seed: int = 0) -> Array:
    """Square pictures, floats (n, side * side), as the first update of a run with this seed would see them; a copy.

    Raises ValueError for rows that are no square pictures, or too small for the settings.
    """
    xp, (n, n_in) = xp_of(pictures), pictures.shape
    side = side_of(n_in, settings)
    augmenter = Augmenter(settings, xp, side, n, str(pictures.dtype), background, seed)
    augmenter.draws.begin_epoch(0, 1)
    result = pictures.copy()
    augmenter.augment(result, xp.zeros(1, dtype="int64"), matmul)
    return result
