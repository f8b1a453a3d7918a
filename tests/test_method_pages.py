"""docs/optimizers.md and docs/schedules.md have a section for each entry of their table, and each is in the picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xpnn.optimizers import OPTIMIZERS, settings_of
from xpnn.schedules import SCHEDULES

DOCS = Path(__file__).parents[1] / "docs"
TABLES = {"optimizers": list(OPTIMIZERS), "schedules": list(SCHEDULES)}
BESIDE = {"optimizers": set(), "schedules": {"warmup", "ReduceOnPlateau"}}  # sections that are no entry


def sections(page: str) -> dict[str, str]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    heads = re.split(r"^## (\S+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(heads[::2], heads[1::2], strict=True))


@pytest.mark.parametrize("page", TABLES)
def test_every_entry_has_a_section_with_its_formula_and_its_source(page: str) -> None:
    found = sections(page)
    assert found.keys() == {*TABLES[page], *BESIDE[page]}
    assert [name for name, text in found.items() if "$$" not in text or "Source: " not in text] == []


@pytest.mark.parametrize("page", TABLES)
def test_the_picture_has_a_panel_for_every_entry(page: str) -> None:
    picture = (DOCS / "figures" / f"{page}.svg").read_text(encoding="utf-8")
    assert f"(figures/{page}.svg)" in (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert [name for name in TABLES[page] if f"<!-- {name} -->" not in picture] == []
    assert len(picture) < 150_000


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_settings_on_the_page_are_the_defaults(name: str) -> None:
    text = sections("optimizers")[name].replace("\n", " ")
    (rate,) = re.findall(r"Usual rate ([0-9.]+[0-9])", text)
    settings = settings_of(name)
    assert float(rate) == settings["learning_rate"]
    stated = re.findall(r"`(\w+)` ([0-9.e-]*[0-9])", text.partition("Usual rate")[2])
    assert {key: float(value) for key, value in stated}.items() <= settings.items()
