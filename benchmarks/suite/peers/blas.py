"""Which NumPy a process has, and which kernels its BLAS chose: their speeds differ by half."""

from __future__ import annotations

import numpy as np
import threadpoolctl


def numpy_version() -> str:
    libraries = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
    named = [" ".join(str(one.get(key)) for key in ("internal_api", "version", "architecture")) for one in libraries]
    return f"NumPy {np.__version__} ({', '.join(named) or 'BLAS unknown'})"
