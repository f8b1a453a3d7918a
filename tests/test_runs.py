"""A run's folder: what is kept, what is taken when something is damaged, and who may write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnn import MLP, Samples, TrainingState, XpnnError
from xpnn.runs import RunFolder, digest_of

NET = MLP([2, 2])


def state(epoch: int, rows: int = 0) -> TrainingState:
    return TrainingState(epoch, epoch, np.full_like(NET.parameters, epoch), {}, rows)


def history(*losses: float) -> list[dict[str, Any]]:
    return [{"epoch": number, "loss": loss} for number, loss in enumerate(losses, 1)]


def names(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.checkpoints.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def test_the_last_two_and_the_best_are_kept(folder: RunFolder) -> None:
    losses = (5.0, 2.0, 4.0, 3.0, 3.5)
    with folder.alone():
        for epoch in range(1, 6):
            folder.save(NET, state(epoch), history(*losses[:epoch]))
        assert names(folder) == [f"{epoch:06}-0000000000.safetensors" for epoch in (2, 4, 5)]
        folder.save(NET, state(5, rows=128), history(*losses))
        folder.save(NET, state(5, rows=1000), history(*losses))
        assert names(folder) == [
            f"00000{place}.safetensors" for place in ("2-0000000000", "5-0000000128", "5-0000001000")
        ]
        found = folder.newest(pytest.fail)
    assert found is not None
    assert (found.state.epoch, found.state.rows, found.history) == (5, 1000, history(*losses))


def test_the_best_by_a_metric(folder: RunFolder) -> None:
    records = [{"epoch": k, "loss": 1.0, "accuracy": share} for k, share in enumerate((0.5, 0.9, 0.7, 0.8, None), 1)]
    with folder.alone():
        for epoch in range(1, 6):
            folder.save(NET, state(epoch), records[:epoch], metric="accuracy")
    assert [name[:6] for name in names(folder)] == ["000002", "000004", "000005"]


def test_of_damaged_checkpoints_the_one_before_is_taken(folder: RunFolder) -> None:
    said: list[str] = []
    with folder.alone():
        assert folder.newest(said.append) is None
        for epoch in (1, 2, 3):
            folder.save(NET, state(epoch), history(1, 2, 3)[:epoch])
        for epoch, content in ((3, b"cut"), (2, b"")):
            (folder.checkpoints / f"00000{epoch}-0000000000.safetensors").write_bytes(content)
        found = folder.newest(said.append)
        assert found is not None
        assert found.state.epoch == 1
        assert [text.rpartition("; ")[2] for text in said] == ["the one before it is taken"] * 2
        assert "000003-0000000000.safetensors: this is no safetensors file, or it is cut off" in said[0]
        folder.save(NET, state(1, rows=5), history(3))  # the damaged ones don't count for the last two
        found = folder.newest(pytest.fail)
        assert found is not None
        assert (found.state.epoch, found.state.rows) == (1, 5)
        for path in folder.checkpoints.glob("*.safetensors"):
            path.write_bytes(b"")
        with pytest.raises(XpnnError, match=r"all checkpoints are damaged; begin anew: .*--config .*\.toml"):
            folder.newest(said.append)


def test_a_write_that_fails_leaves_the_checkpoints_before_it(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder.alone():
        for epoch in (1, 2):
            folder.save(NET, state(epoch), history(2, 1)[:epoch])
        before = names(folder)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(XpnnError, match="can't be written .No space left on device"):
            folder.save(NET, state(3), history(2, 1, 3))
        assert names(folder) == before


def test_what_killed_processes_left_half_written_goes(folder: RunFolder) -> None:
    folder.checkpoints.mkdir(parents=True)
    strays = [folder.path / f".{'0a' * 8}.draft", folder.checkpoints / f".{'f' * 16}.draft"]
    others = [folder.path / ".draft", folder.path / "notes.draft"]
    for path in strays + others:
        path.touch()
    with folder.alone():
        assert [path.exists() for path in strays + others] == [False, False, True, True]


def test_another_process_is_kept_out_until_this_one_ends_however_it_does(folder: RunFolder) -> None:
    program = "import sys; from pathlib import Path; from xpnn.runs import RunFolder\n"
    program += "with RunFolder(Path(sys.argv[1])).alone(): print('in', flush=True); sys.stdin.read()"
    command, pipe = [sys.executable, "-c", program, str(folder.path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        with (
            pytest.raises(XpnnError, match="another process is training there; wait for its end, or choose"),
            folder.alone(),
        ):
            pass
        process.kill()
        process.wait()
    with folder.alone():
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(XpnnError, match="can't be written .*; choose another folder"),
        RunFolder(tmp_path / "file").alone(),
    ):
        pass


def test_there_is_work_as_soon_as_there_is_something_to_lose(folder: RunFolder) -> None:
    with folder.alone():
        assert not folder.has_work()
        folder.config.write_text("")
        assert not folder.has_work()
        folder.save(NET, state(0, rows=5), [])
        assert folder.has_work()


def test_results_are_read_back(folder: RunFolder) -> None:
    with folder.alone():
        assert folder.finished() is None
        folder.finish({"epochs": 3, "model": "m"})
        assert folder.finished() == {"epochs": 3, "model": "m"}
        whole = f'{{"epochs": 3, "model": "m"{" " * (1 << 20)}}}'  # too long to be one
        for text in ("{", "{}", "[]", "7", "[" * 100_000, whole):
            folder.result.write_text(text)
            with pytest.raises(XpnnError, match=r"result\.json: can't be read .*; delete it to finish the run again"):
                folder.finished()


def test_the_datas_hash_is_of_each_number(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t = np.arange(12.0).reshape(4, 3), np.array([0, 1, 1, 2])
    of = digest_of(Samples(x, t), None)
    monkeypatch.setattr("xpnn.runs.CHUNK", 30)
    assert digest_of(Samples(x.copy(order="F"), t), None) == of  # as it lies in memory, and in chunks
    changed = x.copy()
    changed[3, 2] = 0
    others = [
        Samples(changed, t),
        Samples(x, t[::-1].copy()),
        Samples(x, t, np.ones(4)),
        Samples(x.astype("float32"), t),
    ]
    found = [digest_of(samples, None) for samples in others]
    found += [digest_of(None, Samples(x, t)), digest_of(Samples(x, t)), digest_of(Samples(x, t), Samples(x, t)), of]
    assert len(set(found)) == len(found)
