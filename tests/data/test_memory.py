"""How much memory can be had, by what the system says."""

from __future__ import annotations

import math

import pytest

from xpnn.data import memory

MEMINFO = "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:   20000000 kB\n"


def group(most: str, taken: int, cached: int, folder: str = "") -> dict[str, str]:
    """A control group's files."""
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if folder else ("memory.max", "memory.current")
    stat = f"anon 5\n{'total_' if folder else ''}inactive_file {cached}\n"
    texts = {names[0]: f"{most}\n", names[1]: f"{taken}\n", "memory.stat": stat}
    return {f"/sys/fs/cgroup/{folder}{name}": text for name, text in texts.items()}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"/proc/meminfo": MEMINFO}, 20_000_000 * 1024),
        ({"/proc/meminfo": MEMINFO} | group("max", 5, 0), 20_000_000 * 1024),
        ({"/proc/meminfo": MEMINFO} | group("1000", 300, 0), 700),
        ({"/proc/meminfo": MEMINFO} | group("1000", 900, 600), 700),
        ({"/proc/meminfo": MEMINFO} | group("1000", 1200, 0), 0),
        ({"/proc/meminfo": MEMINFO} | group("9000", 2000, 1000, "memory/"), 8000),
    ],
)
def test_the_least_of_what_is_said_counts(
    monkeypatch: pytest.MonkeyPatch, texts: dict[str, str], expected: float
) -> None:
    monkeypatch.setattr(memory, "_text", lambda path: texts.get(path, ""))
    assert memory.available() == expected


def test_a_half_of_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1000.0)
    assert memory.fits(500)
    assert not memory.fits(501)


def test_it_is_known_on_this_machine() -> None:
    assert 1 << 20 < memory.available() < math.inf
