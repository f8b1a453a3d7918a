"""Each table's entries are described in docs/, under their names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xpnn.activations import ACTIVATIONS
from xpnn.losses import LOSSES

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(("page", "names"), [("activations.md", ACTIVATIONS), ("losses.md", LOSSES)])
def test_every_name_has_its_section(page: str, names: dict[str, object]) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    sections = {
        match[1]: match[2] for match in re.finditer(r"^## (\S+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    }
    assert set(names) == {name for name in sections if name in names}
    for name in names:
        assert re.search(r"^    (f|L)\b", sections[name], re.MULTILINE), f"{name} has no formula"
        assert name == "identity" or re.search(r"\b(19|20|17)\d\d\b|same paper", sections[name]), f"{name}: no source"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).is_file()
