"""Tables of Markdown from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

MIB = 1 << 20


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def number(value: float) -> str:
    """Three figures, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def span(values: Sequence[float], factor: float = 1.0) -> str:
    return " to ".join(number(value * factor) for value in values)


def training_table(records: Iterable[dict[str, Any]]) -> str:
    head = ("case", "framework", "threads", "us a step", "quartiles", "s an epoch", "xpnn is faster by", "quartiles")
    rows = [line(record, entry) for record in records if not record["is_query"] for entry in record["entries"]]
    return table(head, rows)


def query_table(records: Iterable[dict[str, Any]]) -> str:
    head = ("case", "framework", "threads", "us a question", "quartiles", "rows a second", "xpnn is faster by", "")
    rows = [line(record, entry) for record in records if record["is_query"] for entry in record["entries"]]
    return table((*head[:-1], "quartiles"), rows)


def line(record: dict[str, Any], entry: dict[str, Any]) -> list[str]:
    if "median" not in entry:
        return [record["case"], entry["framework"], "", entry["problem"] or "not timed", "", "", "", ""]
    median = entry["median"]
    third = number(record["batch"] / median) if record["is_query"] else number(entry["epoch_seconds"])
    ratio = entry.get("ratio")
    compared = [number(ratio["median"]), span(ratio["quartiles"])] if ratio else ["", ""]
    name = f"{entry['framework']} ({entry['path']})"
    threads = f"{entry['threads']}, {entry['cores']:.1f} cores"
    cells = [record["case"], name, threads, number(median * 1e6), span(entry["quartiles"], 1e6)]
    return [*cells, third, *compared]


def memory_table(record: dict[str, Any]) -> str:
    rows = []
    for entry in record["entries"]:
        if entry["problem"]:
            rows.append([entry["framework"], entry["problem"], "", ""])
            continue
        more = number((entry["peak"] - entry["start"]) / MIB)
        warm = f"{entry['warm_step']:,} bytes" if "warm_step" in entry else ""
        rows.append([entry["framework"], number(entry["start"] / MIB), more, warm])
    return table(("framework", "MiB after imports", "MiB more at most", "a warm step's own"), rows)


def textbook_table(record: dict[str, Any]) -> str:
    rows = [
        [name, str(record[key]["threads"]), number(record[key]["reading"]), number(record[key]["seconds"])]
        for key, name in (("xpnn", f"xpnn --recipe seed ({record['xpnn']['path']})"), ("textbook", "the textbook"))
    ]
    return table(("", "threads", "s of reading", f"s for {record['epochs']} epochs"), rows)


def textbook_note(record: dict[str, Any]) -> str:
    timed = record["xpnn_epochs_timed"]
    ours = "" if timed == record["epochs"] else f", xpnn's from {timed} epoch"
    return (
        f"xpnn is faster by {number(record['ratio'])}. The textbook's time is extrapolated from "
        f"{record['lines']:,} lines{ours}; all of MNIST's 60,000 rows an epoch."
    )
