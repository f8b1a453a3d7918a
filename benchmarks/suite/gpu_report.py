"""Tables of Markdown from what `benchmarks/gpu.py` measured."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from suite.cases import EPOCH_ROWS, parse_case
from suite.contestants import targets
from suite.report import number, span, table

NOT_MEASURED = "not measured"


def steps_table(records: Iterable[dict[str, Any]]) -> str:
    """All who were timed."""
    head = ("case", "contestant", "us a step", "quartiles", "ms an epoch", "xpnn is faster by", "quartiles", "error")
    rows = []
    for record in records:
        for entry in record["entries"]:
            if "median" not in entry:
                continue
            ratio, median = entry.get("ratio"), entry["median"]
            compared = [number(ratio["median"]), span(ratio["quartiles"])] if ratio else ["", ""]
            cells = [record["case"], named(entry), number(median * 1e6), span(entry["quartiles"], 1e6)]
            rows.append(
                [*cells, number(median * EPOCH_ROWS / record["batch"] * 1e3), *compared, f"{entry['error']:.0e}"]
            )
    return table(head, rows)


def named(entry: dict[str, Any]) -> str:
    return f"{entry['framework']} ({entry['path']})"


def targets_table(records: Iterable[dict[str, Any]]) -> str:
    """The ratios beside the targets; bold where one isn't met."""
    head = ("case", "against", "the quickest of these", "at least", "seen", "quartiles", "met")
    rows = []
    for record in records:
        for target in targets(parse_case(record["case"])):
            wanted = [f"{target.least:g}x"]
            best = target.entry(record["entries"])
            if best is None or "ratio" not in best:
                rows.append([record["case"], target.against, "", *wanted, NOT_MEASURED, "", ""])
                continue
            ratio = best["ratio"]["median"]
            is_met = target.is_met(ratio)
            seen = f"{number(ratio)}x" if is_met else f"**{number(ratio)}x**"
            quartiles = span(best["ratio"]["quartiles"])
            rows.append(
                [record["case"], target.against, named(best), *wanted, seen, quartiles, "yes" if is_met else "no"]
            )
    return table(head, rows)


def problems_list(records: Iterable[dict[str, Any]], not_here: dict[str, str], left_out: Iterable[str]) -> str:
    """What isn't in the tables, and why: a line for each reason, with all its cases."""
    lines = [f"- {name}: {why}" for name, why in not_here.items()]
    found = [
        (f"{entry['framework']}: {entry['problem']}", record["case"])
        for record in records
        for entry in record["entries"]
        if entry["problem"]
    ]
    for problem, cases in groupby(sorted(found), key=lambda one: one[0]):
        lines.append(f"- {problem} ({', '.join(case for _, case in cases)})")
    lines += [f"- {what}: left out, the time was over" for what in left_out]
    return "\n".join(lines)


def starts_table(starts: Iterable[dict[str, Any]]) -> str:
    rows = [[one["framework"], number(one["seconds"]) if "seconds" in one else one["problem"]] for one in starts]
    return table(("contestant", "s from the start of a process to the end of the first step"), rows)


def accuracy_table(runs: dict[str, list[dict[str, Any]]], goal: float) -> str:
    rows = []
    for name, done in runs.items():
        times = ", ".join(number(run["seconds"]) if run["seconds"] is not None else "not reached" for run in done)
        best = ", ".join(f"{max(run['accuracies'], default=0):.2%}" for run in done)
        rows.append([name, times, best])
    return table(("framework", f"s from the start of a process to {goal:.0%}, a seed each", "best accuracy"), rows)


def facts_tables(facts: dict[str, Any]) -> str:
    parts = [f"{what}: {facts[what]['problem']}" for what in facts if "problem" in facts[what]]
    if "node" in facts.get("graphs", {}):
        graphs = facts["graphs"]
        rows = [["a kernel launched by CuPy", graphs["kernel_launch"]], ["a graph of one node", graphs["graph_of_one"]]]
        rows.append(["each node more, one after the other", graphs["node"]])
        parts.append(table(("", "us"), [[name, number(value)] for name, value in rows]))
    exact, tf32 = (facts.get(name, {}).get("rows", []) for name in ("float32", "tf32"))
    if exact or tf32:
        head = ("net", "batch", "layer", "product", "us, fp32", "us, TF32")
        parts.append(table(head, product_rows(exact, tf32)))
    return "\n\n".join(parts)


def product_rows(exact: list[dict[str, Any]], tf32: list[dict[str, Any]]) -> list[list[str]]:
    by_key = [{tuple(row[key] for key in ("net", "batch", "layer")): row for row in rows} for rows in (exact, tf32)]
    rows = []
    for key in by_key[0] or by_key[1]:
        for product in ("forward", "weights", "inputs"):
            both = [one.get(key, {}).get(product) for one in by_key]
            if any(value is not None for value in both):
                rows.append([*map(str, key), product, *("" if value is None else number(value) for value in both)])
    return rows
