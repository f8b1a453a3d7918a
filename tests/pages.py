"""The programs in docs/: a page's blocks of Python, run one after another as its reader would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The page's fenced blocks in a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_python(page: str, **names: Any) -> dict[str, Any]:
    """Run the page's Python in the current folder, with these names; returns those that it leaves."""
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)  # noqa: S102  # the repository's own pages
    return names


def steps(page: str) -> list[tuple[str, str, str]]:
    """The page's fenced blocks in order: the heading that each is below, its language, its text."""
    found, heading = [], ""
    text = (DOCS / page).read_text(encoding="utf-8")
    for match in re.finditer(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        heading = match[1] or heading
        if match[2]:
            found.append((heading, match[2], match[3]))
    return found
