"""Compiles CUDA sources to a GPU's machine code with NVIDIA's own compiler NVRTC, which needs no GPU and no driver.

It comes with CuPy's extra `ctk`, with a CUDA toolkit, or alone: the package nvidia-cuda-nvrtc-cu12 (the dependency
group `nvrtc`). The options are those that CuPy gives, but for --device-as-default-execution-space, which would forgive
a forgotten __device__, and --pch, which changes nothing but the time.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Older architectures still compile; no option turns this off. It says nothing of the source.
DEPRECATED = re.compile(r"^nvrtc: warning: Architectures prior to .* are deprecated.*\n*", re.MULTILINE)


class CompileError(Exception):
    """A source that NVRTC or its assembler refuses; the text is the log."""


class Nvrtc:
    """One NVRTC library. Wherever an architecture is asked for, it is a name such as "sm_90"."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._library: Any = ctypes.CDLL(path)  # OSError where it can't be loaded

    @property
    def version(self) -> tuple[int, int]:
        """CUDA's, such as (12, 9)."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def supported_architectures(self) -> list[str]:
        """Those that it makes machine code for, from old to new."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        return [f"sm_{number}" for number in numbers]

    def compile(self, source: str, options: Sequence[str], arch: str, name: str = "kernels.cu") -> tuple[bytes, str]:
        """The machine code, as an ELF file (cubin), and the log: the warnings, "" without any.

        The assembler runs too, so that too much shared memory is a CompileError; --ptxas-options=-v among the options
        writes each kernel's registers and spilled bytes to the log.
        """
        program = ctypes.c_void_p()
        self._call(
            "nvrtcCreateProgram", ctypes.byref(program), source.encode(), name.encode(), ctypes.c_int(0), None, None
        )
        try:
            texts = [option.encode() for option in (f"--gpu-architecture={arch}", *options)]
            status = self._library.nvrtcCompileProgram(
                program, ctypes.c_int(len(texts)), (ctypes.c_char_p * len(texts))(*texts)
            )
            log = DEPRECATED.sub("", self._bytes("nvrtcGetProgramLog", program).rstrip(b"\0").decode()).strip()
            if status:
                raise CompileError(log or f"NVRTC's status {status}")
            return self._bytes("nvrtcGetCUBIN", program), log
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _bytes(self, name: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"{name}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(max(1, size.value))
        self._call(name, program, text)
        return text.raw[: size.value]

    def _call(self, name: str, *arguments: Any) -> None:
        if status := getattr(self._library, name)(*arguments):
            raise OSError(f"{self.path}: {name} returns {status}")


def find_nvrtc(arch: str | None = None) -> Nvrtc | None:
    """The first NVRTC that can be loaded and makes code for `arch`; None without any."""
    for path in _paths():
        try:
            library = Nvrtc(path)
        except OSError:
            continue
        if arch is None or arch in library.supported_architectures():
            return library
    return None


def _paths() -> Iterator[str]:
    """Where NVRTC may be: NVIDIA's Python packages, a toolkit, and the system's libraries."""
    package = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (package.submodule_search_locations if package else None) or ()]
    toolkits = [Path(os.environ[name]) for name in ("CUDA_PATH", "CUDA_HOME") if name in os.environ]
    for folder, pattern in [
        *[(folder, f"*/{pattern}") for folder in folders for pattern in ("lib/libnvrtc.so.*", "bin/nvrtc64_*.dll")],
        *[(folder, pattern) for folder in toolkits for pattern in ("lib64/libnvrtc.so.*", "bin/nvrtc64_*.dll")],
    ]:
        yield from (str(path) for path in sorted(folder.glob(pattern)) if ".alt." not in path.name)
    if system := ctypes.util.find_library("nvrtc"):
        yield system
