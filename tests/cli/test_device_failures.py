"""Commands on a card that fails in the middle: one line, exit code 1, and a model file that is whole."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from fake_cuda import CUDARuntimeError
from fake_device import FakeCupy, make_fake_cupy
from fake_trouble import OutOfMemoryError
from xpnn_cli.progress import TrainingProgress

import xpnn

Run = Callable[..., Result]
SMALL = ["--limit", "60", "--hidden", "3", "--device", "cuda"]
COMMANDS = {
    "train": ["train", *SMALL, "--epochs", "3"],
    "train, patience": ["train", *SMALL, "--epochs", "3", "--patience", "2"],
    "train, table": ["train", "table.csv", "--targets", "z", "--epochs", "3", "--hidden", "3", "--device", "cuda"],
    "test": ["test", "model.safetensors", "digits", "--limit", "60", "--device", "cuda"],
    "query": ["query", "model.safetensors", "rows.csv", "--device", "cuda"],
    "find-lr": ["find-lr", *SMALL, "--steps", "10"],
    "cross-validate": ["cross-validate", *SMALL, "--folds", "2", "--epochs", "1"],
}
pytestmark = pytest.mark.usefixtures("fake_cupy")  # or it is skipped, with the reason; each run has a fake of its own
POINTS = 16  # of a command's run, at which it fails
ILLEGAL = CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
SHORT = OutOfMemoryError(1 << 30, 0)


@pytest.fixture
def model(run: Run, tmp_path: Path) -> bytes:
    """The model file that is there before."""
    (tmp_path / "rows.csv").write_text(f"{','.join(['7'] * 64)}\n" * 3, encoding="utf-8")
    rows = [f"{i},{i % 7},{3 * i + i % 5}\n" for i in range(40)]
    (tmp_path / "table.csv").write_text("x,y,z\n" + "".join(rows), encoding="utf-8")
    run("train", "--limit", "60", "--hidden", "3", "--epochs", "1", "--device", "cpu")
    return (tmp_path / "model.safetensors").read_bytes()


def failed_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], model: bytes, error: Exception, lost: bool
) -> Iterator[tuple[str, str, bytes]]:
    """What a command tells before the card fails here and there in its run, its last line, and the model file then."""
    file = Path("model.safetensors")

    def on(fake: FakeCupy, exit_code: int) -> Result:
        monkeypatch.setitem(sys.modules, "cupy", fake)
        monkeypatch.setattr("xpnn.fast.cublas.library", lambda: fake.cublas)
        file.write_bytes(model)
        return run(*command, exit_code=exit_code)

    whole = make_fake_cupy()
    on(whole, exit_code=0)
    for point in range(POINTS):
        fake = make_fake_cupy()
        fake.trouble.fail(error, after=whole.trouble.calls * point // POINTS, lost=lost)
        result = on(fake, exit_code=1)
        lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1, result.stderr
        before, _, rest = result.stderr.partition(lines[0])
        assert rest == "\n"
        assert "Traceback" not in result.output
        yield before, lines[0], file.read_bytes()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_card_that_is_lost(run: Run, monkeypatch: pytest.MonkeyPatch, model: bytes, command: list[str]) -> None:
    for _, line, file in failed_runs(run, monkeypatch, command, model, ILLEGAL, lost=True):
        assert "cudaErrorIllegalAddress" in line
        assert "has the weights" not in line
        assert file == model


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_memory_that_runs_out(run: Run, monkeypatch: pytest.MonkeyPatch, model: bytes, command: list[str]) -> None:
    saved = 0
    for before, line, file in failed_runs(run, monkeypatch, command, model, SHORT, lost=False):
        assert "out of memory: 1.0 GiB more were needed" in line
        epochs = len(re.findall("^epoch ", before, re.MULTILINE))
        is_said = "model.safetensors has the weights after " in line
        assert is_said == (file != model) == (epochs > 0)
        assert not is_said or line.endswith((f" epoch {epochs}", " the best epoch"))
        xpnn.load_model("model.safetensors")
        saved += is_said
    assert (saved > POINTS // 3) == (command[0] == "train")


def test_card_that_is_lost_when_ctrl_c_comes(
    run: Run, monkeypatch: pytest.MonkeyPatch, model: bytes, fake_cupy: FakeCupy
) -> None:
    def interrupt(*_: object) -> None:
        fake_cupy.trouble.fail(ILLEGAL)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingProgress, "_show_epoch", interrupt)
    result = run(*COMMANDS["train"], exit_code=1)

    assert result.stderr.splitlines()[-1].startswith("Error: cuda:0 failed (cudaErrorIllegalAddress")
    assert Path("model.safetensors").read_bytes() == model
