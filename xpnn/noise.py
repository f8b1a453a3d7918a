"""Random numbers from a counter: each depends on its place and on the step's key alone, not on what was drawn before.

A generator with a state would have to live on the device and to be saved; these numbers are a hash of where they
are needed (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011). The same seed gives the same bits
on NumPy and CuPy, and a run that resumes at any step goes on with the same ones.

The hash is the 32-bit finalizer of C. Wellons' search (hash-prospector, 2018, `lowbias32`): each input bit
changes each output bit with a probability within 0.2 % of one half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xpnn.backend import Array, ArrayModule, take, xp_of

_MASK = 0xFFFFFFFF


def _mixed(word: int) -> int:
    """The hash of one 32-bit number, on the host."""
    word ^= word >> 16
    word = word * 0x7FEB352D & _MASK
    word ^= word >> 15
    word = word * 0x846CA68B & _MASK
    return word ^ word >> 16


def keys(seed: int, stream: int, first: int, count: int) -> NDArray[np.uint32]:
    """(count,) uint32: the key of each step from `first` on, for one stream (what the numbers are for) of a seed."""
    start = _mixed(stream + 1)
    while seed:  # all of a seed of any length
        start = _mixed(start ^ seed & _MASK)
        seed >>= 32
    words = np.arange(first, first + count, dtype=np.uint64)
    high, low = (words >> np.uint64(32)).astype(np.uint32), words.astype(np.uint32)
    result = low + np.uint32(_mixed(start ^ 0x9E3779B9)) ^ high
    mix(result, np.empty_like(result))
    result ^= np.uint32(start)
    mix(result, np.empty_like(result))
    return result


def key_table(seed: int, streams: Sequence[int], first: int, count: int) -> NDArray[np.uint32]:
    """(count, streams) uint32: the keys of several streams side by side."""
    table = np.empty((count, len(streams)), dtype=np.uint32)
    for column, stream in enumerate(streams):
        table[:, column] = keys(seed, stream, first, count)
    return table


class Draws:
    """Sources of random numbers (`Mask` and its like), drawn anew for each update, all without asking the device.

    sources: pairs (stream, source). Each has a stream of its own, which doesn't depend on the others being there.
    """

    def __init__(self, xp: ArrayModule, sources: Sequence[tuple[int, Source]], seed: int) -> None:
        self.sources, self.seed = sources, seed
        self.keys = xp.zeros((0, len(sources)), dtype="uint32")
        self.key_row = xp.zeros((1, len(sources)), dtype="uint32")

    def begin_epoch(self, first: int, updates: int) -> None:
        """Make the keys of the updates from number `first` of the run on."""
        if not self.sources:
            return
        xp = xp_of(self.keys)
        table = xp.asarray(key_table(self.seed, [stream for stream, _ in self.sources], first, updates))
        if self.keys.shape == table.shape:
            xp.copyto(self.keys, table)  # they keep their place, where a recorded CUDA graph reads them
        else:
            self.keys = table

    def draw(self, position: Array) -> None:
        """Draw the numbers of an update; `position`, int64 (1,), is its number in the epoch."""
        if self.sources:
            take(self.keys, position, out=self.key_row)
        for i, (_, source) in enumerate(self.sources):
            source.draw(self.key_row[0, i : i + 1])


def mix(words: Array, scratch: Array) -> None:
    """Hash uint32 words in place; `scratch` is like them."""
    xp = xp_of(words, scratch)
    xp.right_shift(words, 16, out=scratch)
    xp.bitwise_xor(words, scratch, out=words)
    xp.multiply(words, 0x7FEB352D, out=words)
    xp.right_shift(words, 15, out=scratch)
    xp.bitwise_xor(words, scratch, out=words)
    xp.multiply(words, 0x846CA68B, out=words)
    xp.right_shift(words, 16, out=scratch)
    xp.bitwise_xor(words, scratch, out=words)


def places(xp: ArrayModule, count: int) -> Array:
    """(count,) uint32: the places of the random words; hashed, lest neighbouring keys only shift the words along."""
    words = np.arange(count, dtype=np.uint32)
    words += np.uint32(0x9E3779B9)
    mix(words, np.empty_like(words))
    return xp.asarray(words)


def draw_words(places: Array, key: Array, out: Array, scratch: Array) -> None:
    """Random uint32 words, (count,), from a step's `key`, uint32 (1,)."""
    xp_of(places, key).bitwise_xor(places, key, out=out)
    mix(out, scratch)


class Source(Protocol):
    """Random numbers of one kind, written into memory of their own."""

    values: Array

    def draw(self, key: Array) -> None:
        """Write the numbers of the step whose key, uint32 (1,), this is into `values`."""


class Mask:
    """A dropout mask, (n, units): each value is 0 with probability `rate`, else 1 / (1 - rate).

    Half a word decides a value, so the rate is kept to 1 / 65,536; the scale is that of the rate as it is kept.
    """

    def __init__(self, xp: ArrayModule, n: int, units: int, rate: float, dtype: str) -> None:
        self.places = places(xp, (n * units + 1) // 2)
        self.words, self.scratch = xp.empty_like(self.places), xp.empty_like(self.places)
        self.halves = self.words.view("uint16")[: n * units].reshape(n, units)
        self.values = xp.empty((n, units), dtype=dtype)
        self.kept = round((1 - rate) * 65536)  # of 65,536 halves
        self.scale = 65536 / self.kept

    def draw(self, key: Array) -> None:
        """Write the mask of the step whose key this is into `values`."""
        xp = xp_of(self.places, key)
        draw_words(self.places, key, self.words, self.scratch)
        xp.less(self.halves, self.kept, out=self.values)
        xp.multiply(self.values, self.scale, out=self.values)


class Uniform:
    """Numbers (n, units), uniform between -1 and 1: odd multiples of 2^-24, which float32 holds exactly."""

    def __init__(self, xp: ArrayModule, n: int, units: int, dtype: str) -> None:
        self.places = places(xp, n * units)
        self.words, self.scratch = xp.empty_like(self.places), xp.empty_like(self.places)
        self.values = xp.empty((n, units), dtype=dtype)

    def draw(self, key: Array) -> None:
        """Write the numbers of the step whose key this is into `values`."""
        xp = xp_of(self.places, key)
        draw_words(self.places, key, self.words, self.scratch)
        xp.right_shift(self.words, 8, out=self.words)
        xp.copyto(self.values, self.words.reshape(self.values.shape))
        xp.multiply(self.values, 2.0**-23, out=self.values)
        xp.subtract(self.values, 1 - 2.0**-24, out=self.values)


class Normal:
    """Standard normal numbers, (n, units), by the transform of Box and Muller (1958)."""

    def __init__(self, xp: ArrayModule, n: int, units: int, dtype: str) -> None:
        self.places = places(xp, 2 * n * units)
        self.words, self.scratch = xp.empty_like(self.places), xp.empty_like(self.places)
        self.uniforms = xp.empty((2, n, units), dtype=dtype)
        self.values = self.uniforms[0]

    def draw(self, key: Array) -> None:
        """Write the numbers of the step whose key this is into `values`."""
        xp = xp_of(self.places, key)
        radius, angle = self.uniforms
        draw_words(self.places, key, self.words, self.scratch)
        xp.right_shift(self.words, 8, out=self.words)  # 24 bits, which float32 holds exactly
        xp.copyto(self.uniforms, self.words.reshape(self.uniforms.shape))
        xp.add(radius, 0.5, out=radius)  # never 0: its logarithm is taken
        xp.multiply(self.uniforms, 1 / (1 << 24), out=self.uniforms)
        xp.log(radius, out=radius)
        xp.multiply(radius, -2, out=radius)
        xp.sqrt(radius, out=radius)
        xp.multiply(angle, 2 * math.pi, out=angle)
        xp.cos(angle, out=angle)
        xp.multiply(radius, angle, out=radius)
