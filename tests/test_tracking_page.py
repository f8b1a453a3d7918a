"""The programs of docs/tracking.md and docs/arrays.md run as they stand; the trackers are stood in for."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars
import pytest

import xpnn

DOCS = Path(__file__).parents[1] / "docs"


class Tracker:
    """Stands in for both trackers' modules: it keeps what it is told, and is as strict as they are."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.numbers: list[tuple[int, dict[str, float]]] = []
        self.files: list[str] = []

    @contextmanager
    def start_run(self) -> Any:
        yield self

    def init(self, *, project: str, config: dict[str, Any]) -> Any:
        assert project
        self.log_params(config)
        return self.start_run()

    def log_params(self, params: dict[str, Any]) -> None:
        assert all(len(str(value)) < 500 for value in params.values())
        self.settings |= params

    def log(self, metrics: dict[str, float], *, step: int) -> None:
        assert all(isinstance(value, float) for value in metrics.values())
        self.numbers.append((step, metrics))

    log_metrics = log

    def log_artifact(self, path: str) -> None:
        assert Path(path).is_file()
        self.files.append(path)


def programs(page: str) -> dict[str, str]:
    """The page's programs by the section that they stand in."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(r"^#+ ([^\n]+)\n(?:(?!^#).)*?^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert text.count("```python") == len(found)
    return dict(found)


@pytest.mark.parametrize(("section", "module"), [("MLflow", "mlflow"), ("Weights & Biases", "wandb")])
def test_trackers_get_every_epoch_and_the_settings(
    section: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker()
    monkeypatch.setitem(sys.modules, module, tracker)
    monkeypatch.chdir(tmp_path)
    exec(programs("tracking.md")[section], {})  # noqa: S102  # the page's own
    assert [step for step, _ in tracker.numbers] == [1, 2, 3, 4, 5]
    assert all({"loss", "validation_accuracy", "learning_rate"} <= numbers.keys() for _, numbers in tracker.numbers)
    assert tracker.settings["sizes"] == (64, 30, 10)
    assert tracker.files == [path.name for path in tmp_path.iterdir()]


def test_the_pages_logs_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second, *_ = programs("tracking.md").values()
    exec(first, {})  # noqa: S102  # the page's own
    exec(second, {})  # noqa: S102
    assert len((tmp_path / "run.csv").read_text().splitlines()) == 6
    assert len(list((tmp_path / "runs" / "first").iterdir())) == 1


def test_the_page_of_arrays_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    polars.DataFrame({"price": [1.0, 2.0], "rooms": [1.5, 2.0], "city": ["a", "b"], "area": [0.1, 0.3]}).write_csv(
        "flats.csv"
    )
    monkeypatch.setitem(sys.modules, "torch", sys.modules.get("torch") or SimpleNamespace(tensor=list))
    (program,) = programs("arrays.md").values()
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102  # the page's own
    assert names["net"].query(names["table"]).shape == (2, 1)
    assert isinstance(names["net"], xpnn.MLP)
