"""What nets of the default recipe read from photos of digits, and which changes of a picture change their answers.

    XPNN_DATA_DIR=DATA python benchmarks/photos.py [--nets N] [--pages N] [CHANGE ...]      needs MNIST; an hour

DATA/own_images holds seven pictures of 28 x 28 pixels, drawn by hand; MNIST's are 300 test digits, written as by a pen.
All are enlarged to 600 pixels a digit and changed at random, in a way that the tests know nothing of. An answer is
kept where all digits of the page are read as the net reads the rows of 28 x 28 pixels that it was made of; a page of
MNIST's is right where they are the labels. Pages that the reader refuses are counted, too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import cameras
import numpy as np
from numpy.typing import NDArray
from photo_changes import CHANGES
from PIL import Image

import xpnn
from xpnn.recipes import RECIPES

OWN = ("2", "3", "4", "5", "6", "image", "noisy_6")
OWN_LABELS = (2, 3, 4, 5, 6, 3, 6)
GREY_PAPER = "noisy_6"  # whose square would show on a white page
Page = cameras.Page


class Trial(NamedTuple):
    """Of one kind of change: pages, and for each net and page whether the answers were kept and right."""

    pages: int
    refused: int
    kept: NDArray[np.bool_]
    right: NDArray[np.bool_]


def trained(number: int) -> list[xpnn.MLP]:
    data, recipe, nets = xpnn.load("mnist"), RECIPES["default"], []
    assert data.test is not None
    for seed in range(number):
        nets.append(recipe.network(784, data.labels, seed=seed))
        for epoch in recipe.train(nets[-1], data.train, seed=seed):
            print(f"net {seed + 1}/{number}, epoch {epoch.number}/{recipe.epochs}", end="\r", file=sys.stderr)
        print(f"net {seed + 1}: {xpnn.evaluate(nets[-1], data.test).accuracy:.2%} of MNIST's test rows", flush=True)
    return nets


def own_pages() -> tuple[list[Page], list[int]]:
    folder = Path(os.environ["XPNN_DATA_DIR"], "own_images")
    pages = []
    for name in OWN:
        with Image.open(folder / f"2828_my_own_{name}.png") as image:
            pages.append(np.asarray(image.convert("L")).astype(np.float32) / 255)
    return pages, list(OWN_LABELS)


def mnist_pages(count: int = 300) -> tuple[list[Page], list[int]]:
    test = xpnn.load("mnist").test
    assert test is not None
    chosen = np.random.default_rng(0).permutation(len(test))[:count]
    rows = 1 - test.inputs[chosen].reshape(-1, 28, 28).astype(np.float32) / 255
    return list(rows), test.targets[chosen].tolist()


def attempt(
    name: str,
    nets: list[xpnn.MLP],
    digits: tuple[list[Page], list[int]],
    rows: list[list[int]],
    is_own: bool,
    pages: int,
    folder: str,
) -> Trial:
    """`rows`: what each net says to the digits as they are."""
    change, (originals, labels) = CHANGES[name], digits
    rng = np.random.default_rng([len(originals), *name.encode()])
    path, kept, right, refused = os.path.join(folder, "photo"), [], [], 0
    order = np.concatenate([rng.permutation(len(originals)) for _ in range(pages * change.digits)])
    if is_own and change.digits > 1:
        order = order[order != OWN.index(GREY_PAPER)]
    for page in range(pages):
        progress(name, page, pages)
        chosen = order[page * change.digits : (page + 1) * change.digits]
        sources = [originals[i] if is_own else cameras.sharp(cameras.enlarged(originals[i])) for i in chosen]
        change.make(sources, rng).save(path, **change.save)
        try:
            said = [answers(net, path) for net in nets]
        except xpnn.DataError:
            refused += 1
            said = [[] for _ in nets]
        kept.append([answer == [row[i] for i in chosen] for answer, row in zip(said, rows, strict=True)])
        right.append([answer == [labels[i] for i in chosen] for answer in said])
    return Trial(pages, refused, np.array(kept), np.array(right))


def answers(net: xpnn.MLP, path: str) -> list[int]:
    """As `xpnn query` reads a picture."""
    digits, _ = xpnn.data.read_photo(path, confidence=lambda rows: net.query(rows).max(axis=1))
    found: list[int] = net.predict(np.array([digit.pixels for digit in digits])).tolist()
    return found


def answers_to_originals(net: xpnn.MLP, originals: list[Page], folder: str) -> list[int]:
    """What the net says to the pictures of 28 x 28 pixels, before any change."""
    found = []
    for page in originals:
        cameras.photo(255 * page).save(os.path.join(folder, "row.png"))
        found.append(xpnn.data.read_image(os.path.join(folder, "row.png")))
    said: list[int] = net.predict(np.array(found)).tolist()
    return said


def progress(name: str, done: int, whole: int, width: int = 30) -> None:
    if sys.stderr.isatty() and done % 5 == 0:
        bar = "#" * (width * done // whole)
        print(f"\r{name:32} [{bar:{width}}] {done}/{whole} ", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="*", metavar="CHANGE", help="; ".join(CHANGES))
    parser.add_argument("--nets", type=int, default=3)
    parser.add_argument("--pages", type=int, default=100, help="of each kind, and of the own pictures and MNIST's each")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.changes) - CHANGES.keys())
    if unknown:
        parser.error(f"unknown changes {', '.join(unknown)}: choose from {', '.join(CHANGES)}")
    nets, own, mnist = trained(arguments.nets), own_pages(), mnist_pages()
    lines = [
        "| change | pages | own: kept | refused | MNIST's: kept | right | refused |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        own_rows, mnist_rows = (
            [answers_to_originals(net, digits[0], folder) for net in nets] for digits in (own, mnist)
        )
        for said in own_rows:
            print(f"the own pictures: {sum(map(int.__eq__, said, own[1]))} of {len(OWN)} right: {said}")
        for name in arguments.changes or CHANGES:
            ours = attempt(name, nets, own, own_rows, True, arguments.pages, folder)
            theirs = attempt(name, nets, mnist, mnist_rows, False, arguments.pages, folder)
            figures = f"{ours.kept.mean():.1%} | {ours.refused} | {theirs.kept.mean():.1%} | {theirs.right.mean():.1%}"
            lines.append(f"| {name} | {ours.pages} + {theirs.pages} | {figures} | {theirs.refused} |")
            print(f"\r{lines[-1]}", file=sys.stderr, flush=True)
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
