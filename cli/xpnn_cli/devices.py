"""xpnn devices: what can be computed on here?"""

from __future__ import annotations

import os
import platform
from typing import Any

import click
import numpy as np

import xpnn
from xpnn.backend import Device, why_no_cuda
from xpnn_cli.options import json_option, print_json
from xpnn_cli.threads import default_threads


@click.command(short_help="What can be computed on, and if CUDA can't, why.")
@json_option
def devices(as_json: bool) -> None:
    """Show the devices that xpnn can use here, versions, and why CUDA can't be used if it can't."""
    problem = why_no_cuda()
    found = {
        "xpnn": xpnn.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cpu": {"name": _processor(), "cores": os.cpu_count(), "blas": blas(), "threads": _threads()},
        "cuda": {"usable": not problem, "problem": problem or None} | ({} if problem else _gpus()),
    }
    if as_json:
        print_json(found)
    else:
        click.echo(_report(found))


def _processor() -> str:
    """The processor's name; Linux keeps it where Python doesn't look."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def blas() -> dict[str, Any]:
    """NumPy's BLAS library, and the threads that it may use."""
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    if not pools:  # Accelerate, for one, has no thread pool to ask about
        return {"name": np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"], "threads": None}
    return {"name": f"{pools[0]['internal_api']} {pools[0]['version']}", "threads": pools[0]["num_threads"]}


def _threads() -> int | None:
    """How many a command takes that isn't told by --threads."""
    return default_threads() or blas()["threads"]


def _gpus() -> dict[str, Any]:
    """Versions, and each GPU's name, memory (bytes) and compute capability."""
    cupy = Device("cuda").xp
    runtime = cupy.cuda.runtime
    gpus = []
    for index in range(runtime.getDeviceCount()):
        about = runtime.getDeviceProperties(index)
        gpus.append(
            {
                "device": f"cuda:{index}",
                "name": about["name"].decode(),
                "memory": about["totalGlobalMem"],
                "compute_capability": f"{about['major']}.{about['minor']}",
            }
        )
    return {
        "cupy": cupy.__version__,
        "runtime": runtime.runtimeGetVersion(),
        "driver": runtime.driverGetVersion(),
        "gpus": gpus,
    }


def _report(found: dict[str, Any]) -> str:
    cpu, cuda = found["cpu"], found["cuda"]
    threads = "" if cpu["threads"] is None else f", of which a run takes {cpu['threads']} (--threads)"
    lines = [
        f"xpnn {found['xpnn']}, Python {found['python']}, NumPy {found['numpy']}",
        f"cpu      {cpu['name']}, {cpu['cores']} cores{threads}; BLAS: {cpu['blas']['name']}",
    ]
    if cuda["usable"]:
        lines.append(f"cuda     CuPy {cuda['cupy']}, CUDA runtime {cuda['runtime']}, driver {cuda['driver']}")
        lines += [
            f"{gpu['device']:8} {gpu['name']}, {gpu['memory'] / 2**30:.0f} GiB, compute {gpu['compute_capability']}"
            for gpu in cuda["gpus"]
        ]
    else:
        lines.append(f"cuda     can't be used: {cuda['problem']}")
    return "\n".join(lines)
