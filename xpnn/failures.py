"""What goes wrong on a CUDA card in the middle of work, as the one line of a DeviceError.

CuPy's errors (of memory, the runtime, the driver, cuBLAS, the compiler) are recognised by the module that their class
is defined in, so that CuPy isn't imported for them.
"""

from __future__ import annotations

import re
import traceback
from typing import Any

from xpnn.errors import DeviceError


class CublasError(RuntimeError):
    """What cuBLAS reports where xpnn calls it itself."""


OUT_OF_MEMORY = r"(?i)out of memory|OUT_OF_MEMORY|ALLOC_FAILED"  # CuPy's pool and the runtime; the driver; cuBLAS


def first_line(error: BaseException) -> str:
    """What another program's error says in its first line, fit for an error's text; its name where it says nothing."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return text if text.isprintable() else repr(text)[1:-1]


def is_cuda_error(error: BaseException | None) -> bool:
    """Whether it is an error of CuPy's or of cuBLAS, and so of the card or of what drives it."""
    return isinstance(error, CublasError) or type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends")


def is_of_cards_state(error: BaseException) -> bool:
    """Whether an error of the card concerns the card itself; where a kernel can't be compiled it is as it was."""
    return is_cuda_error(error) and type(error).__name__ != "CompileException"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of the card is one of its memory."""
    return is_cuda_error(error) and re.search(OUT_OF_MEMORY, first_line(error)) is not None


def device_error(error: BaseException, card: Any) -> DeviceError:
    """What an error of the card (a cupy.cuda.Device) means, and what to do."""
    if is_out_of_memory(error):
        return DeviceError(
            f"cuda:{card.id} is out of memory: {shortage(error, card)}; lower the batch size, the hidden sizes or the "
            "number of rows, end what else is on the card (nvidia-smi lists it), or use --device cpu"
        )
    fate = "what was on the card is lost, files saved before are intact"
    if _memory(card) is not None:  # a compiler's error, say
        fate = "the card still answers, what is on it and files saved before are intact"
    return DeviceError(
        f"cuda:{card.id} failed ({first_line(error)}{_place(error)}): {fate}; start the program again, or use "
        "--device cpu; nvidia-smi shows the card's state; if it fails again, report what this says with "
        "CUDA_LAUNCH_BLOCKING=1 set, which finds the place"
    )


def shortage(error: BaseException, card: Any) -> str:
    """How much memory was asked for, and how much there is, as far as it is known."""
    asked, limit = (re.search(f"{words} ([0-9,]+) bytes", str(error)) for words in ("allocating", "limit set to:"))
    memory = _memory(card)
    facts = [f"{_size(asked[1])} more were needed" if asked else first_line(error)]
    if memory is not None:
        facts.append(f"{_size(memory[0])} of its {_size(memory[1])} are free")
    if limit:
        facts.append(f"CuPy may take {_size(limit[1])} (CUPY_GPU_MEMORY_LIMIT)")
    return ", ".join(facts)


def _size(count: int | str) -> str:
    """So many bytes, for people; in the units of nvidia-smi."""
    number = int(str(count).replace(",", ""))
    if number < 2**20:
        return f"{number:,} bytes"
    return f"{number / 2**20:.1f} MiB" if number < 2**30 else f"{number / 2**30:.1f} GiB"


def _memory(card: Any) -> tuple[int, int] | None:
    """Bytes (free, in all); None from a card that is lost: from then on it answers each call with an error."""
    try:
        card.synchronize()
        free, total = card.mem_info
    except Exception:  # whatever it is, it comes after the error that is to be told
        return None
    return int(free), int(total)


def _place(error: BaseException) -> str:
    """Where xpnn met the error: kernels run later than they are started, so CUDA may have made it before."""
    frames = traceback.walk_tb(error.__traceback__)
    places = [(frame.f_globals.get("__name__", ""), line) for frame, line in frames]
    own = [f"; seen in {module}, line {line}" for module, line in places if module.startswith("xpnn.")]
    return own[-1] if own else ""
