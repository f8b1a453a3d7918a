"""Each table's entries are described in docs/, under their names; what pages speak of is there; their programs run."""

from __future__ import annotations

import pkgutil
import re
from codeop import compile_command
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from click import Command, Group
from pages import blocks, run_python
from pyarrow import parquet
from sklearn.metrics import mean_poisson_deviance
from xpnn_cli import main

import xpnn
from xpnn.activations import ACTIVATIONS
from xpnn.augmentation import Augmentation
from xpnn.losses import LOSSES
from xpnn.regularization import Regularization

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
OTHERS = {  # programs' options that are not xpnn's: those of benchmarks/, nox, pip, ruff and TensorBoard
    *("--quick", "--framework", "--case", "--part", "--minutes", "--seeds", "--held-out", "--pages"),
    *("--list", "--group", "--fix", "--logdir"),
}


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


def test_the_counts_of_the_page_are_learnt_as_well_as_it_says() -> None:
    names = run_python("losses.md")
    means, counts = (names[name][1000:, 0] for name in ("means", "visitors"))
    assert round(names["loss"], 2) == 0.56
    assert names["loss"] == pytest.approx(mean_poisson_deviance(counts, names["rate"][:, 0]) / 2, rel=1e-5)
    assert round(mean_poisson_deviance(counts, means) / 2, 2) == 0.53


def readme_left(names: dict[str, Any]) -> None:
    accuracy = xpnn.evaluate(xpnn.load_model("model.safetensors"), names["data"].test).accuracy
    assert accuracy is not None
    assert accuracy > 0.95


def overfitting_left(names: dict[str, Any]) -> None:
    assert names["epoch"].number < 1000


def runs_left(names: dict[str, Any]) -> None:
    assert names["epoch"].number == names["state"].epoch == 60


def data_left(names: dict[str, Any]) -> None:
    assert [*pandas.read_csv("table.csv").columns] == ["age", "city_Bern", "city_Oslo"]
    net, samples = xpnn.load_model("model.safetensors"), names["data"].train
    assert net.labels == ("setosa", "virginica")
    np.testing.assert_array_equal(net.predict(samples.inputs), samples.targets)
    assert names["rows"].labels == ["3", "4"]  # of the last row group


def large_data_left(names: dict[str, Any]) -> None:
    assert names["epoch"].number == 10
    groups = parquet.ParquetFile("anew.parquet").metadata
    assert [groups.row_group(group).num_rows for group in range(groups.num_row_groups)] == [5000, 1000]


@pytest.mark.parametrize(
    ("page", "check"),
    [
        ("../README.md", readme_left),
        ("overfitting.md", overfitting_left),
        ("runs.md", runs_left),
        ("data.md", data_left),
        ("large-data.md", large_data_left),
    ],
)
def test_programs_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, check: Callable[[dict[str, Any]], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows, others = xpnn.load("digits", limit=200).train.split(0.5)
    np.save("x_train.npy", rows.inputs)
    np.save("y_train.npy", np.asarray(rows.targets))
    pandas.DataFrame({"petal": [1.5, 5.5] * 50, "species": ["setosa", "virginica"] * 50}).to_csv(
        "iris.csv", index=False
    )
    people = {"name": list("abc"), "age": ["1,5", "2", ""], "city": ["Oslo", "Bern", "Oslo"]}
    pandas.DataFrame(people).to_csv("people.csv", sep=";", index=False)
    pandas.DataFrame({"a": [0.5] * 5, "label": range(5)}).to_parquet("train.parquet", row_group_size=3)
    pandas.DataFrame({"a": np.arange(6000)}).to_parquet("large.parquet")
    given = {"np": np, "xpnn": xpnn, "net": xpnn.MLP([64, 10]), "rows": rows, "others": others}
    check(run_python(page, **given))


@pytest.mark.parametrize("page", [*sorted(page.name for page in DOCS.glob("*.md")), "../README.md"])
def test_programs_can_be_typed_in_line_by_line(page: str) -> None:
    """Python's console, before 3.13, wants an empty line below a loop's body."""
    for block in blocks(page, "python"):
        typed: list[str] = []
        for line in [*block.splitlines(), ""]:
            typed.append(line)
            if compile_command("\n".join(typed)) is not None:
                typed = []
        assert typed == []


@pytest.mark.parametrize("field", [field.name for field in fields(Regularization)] + ["weight_decay", "average"])
def test_every_kind_of_regularisation_has_its_formula_and_source(field: str) -> None:
    text = (DOCS / "regularization.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {field.replace('_', '-')}\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert "$$" in section or "The same" in section
    assert re.search(r"Source: .*(\b(19|20)\d\d\b|same|dropout paper)", section.replace("\n", " "))


@pytest.mark.parametrize("field", [field.name for field in fields(Augmentation)])
def test_every_kind_of_augmentation_has_its_formula_its_option_and_its_source(field: str) -> None:
    text = (DOCS / "augmentation.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {field}\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert "$$" in section
    assert f"--{field} " in section
    assert re.search(r"Source: .*\b(19|20)\d\d\b", section.replace("\n", " "))


def options_of(command: Command) -> set[str]:
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    below = command.commands.values() if isinstance(command, Group) else ()
    return own.union({"--help"}, *map(options_of, below))


def headings(page: Path) -> set[str]:
    """What links to the page's headings call them."""
    names = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", name.lower()).strip().replace(" ", "-") for name in names}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_names_and_files_that_a_page_speaks_of_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
    assert options - OTHERS <= options_of(main)
    for name in set(re.findall(r"\bxpnn(?:\.[A-Za-z_]\w*)+", text)):
        pkgutil.resolve_name(name)
    for path in set(re.findall(r"(?<![\w/.])(?:xpnn|cli|tests|benchmarks|docs)/[\w/.*-]+", text)):
        assert any(ROOT.glob(path.rstrip("."))), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in re.findall(r"\]\(((?!http)[^)#\s]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not anchor or anchor in headings(target), f"{file}#{anchor}"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).is_file()
