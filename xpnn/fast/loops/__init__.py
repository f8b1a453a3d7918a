"""The loops themselves, for Numba. Imported only where they are used: see `xpnn.fast.compiled`."""

from __future__ import annotations

from numba import njit

# Sums may be reordered and products fused, which vectorises them. NaN stays NaN: a run that diverges is to be seen.
REORDER = {"reassoc", "contract", "nsz", "arcp"}
compiled = njit(cache=True, fastmath=REORDER, error_model="numpy")
as_written = njit(cache=True, error_model="numpy")  # for what depends on the order of its operations
