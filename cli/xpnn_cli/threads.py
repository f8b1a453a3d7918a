"""--threads: how many of the processor's cores a command computes with.

Linear algebra libraries take every core they find, and two runs side by side then wait for each other's threads. So a
run takes half of the cores, unless it is told otherwise: two fit beside each other. On most processors that is as many
as there are arithmetic units, for each counts as two cores (docs/reliability.md has what it costs a run that is alone).
The number doesn't hang on what else runs: the same command computes the same, and sums are rounded as they are cut up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from xpnn.backend import usable_cores

# Of OpenBLAS, MKL, BLIS, Accelerate, OpenMP and Numba, each of which reads its own when it is loaded.
VARIABLES = [f"{library}_NUM_THREADS" for library in ("OPENBLAS", "MKL", "BLIS", "OMP", "NUMBA")] + [
    "VECLIB_MAXIMUM_THREADS"
]


THREADS = "xpnn_cli.threads"  # where Click's context keeps what the option says


def default_threads() -> int | None:
    """How many threads a command takes that isn't told; None where the user's environment has told the libraries."""
    return None if any(variable in os.environ for variable in VARIABLES) else max(1, usable_cores() // 2)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let linear algebra use so many threads: in the libraries that are loaded, and in those that will be."""
    from threadpoolctl import threadpool_limits

    before = {variable: os.environ.get(variable) for variable in VARIABLES}
    os.environ |= dict.fromkeys(VARIABLES, str(threads))
    try:
        with threadpool_limits(threads):
            yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


def _limit(ctx: click.Context, parameter: click.Parameter, value: int | None) -> None:
    """For as long as the command runs."""
    ctx.meta[THREADS] = value
    threads = value or default_threads()
    if threads is not None:
        ctx.with_resource(limited(threads))


threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    callback=_limit,
    expose_value=False,
    help="Cores of the CPU to compute with.  [default: half of them, so that two runs fit beside each other; or as "
    "OPENBLAS_NUM_THREADS or another such variable says]",
)
