"""Runs CUDA kernels without a GPU: compiles their source, unchanged, as C++ for the CPU, and launches as CuPy does.

    module = Module(source, ("-DREAL=float", "--std=c++17"), folder=tmp_path)
    module.get_function("add")((blocks,), (256,), (x, y, np.int32(n)))

Blocks run one after another, the threads of a block as fibers (cuda_emulator.h). A launch ends when its work is done.
It is stricter than a GPU, where most of these would be silent:

- an argument must have the type that the kernel declares (TypeError), and a launch keep CUDA's limits (ValueError);
- a barrier, or a warp's shuffle, that some threads never reach is an error (KernelError), also where they have
  returned or wait in another line, and so is an index beyond an array whose length the compiler knows;
- shared memory holds NaN's bytes until it is written;
- memory from `guarded()` ends where no memory is, so that reading or writing beyond it is an error;
- `order` changes the order of the threads and blocks: results that differ show a race or a barrier that is missing.

It says nothing of speed, of rounding (a GPU contracts a * b + c), of registers, or of the memory order between threads
that run at the same time. Threads that wait for a later block never end. `extern __shared__` and `__shared__` stand
inside functions.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import math
import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HEADERS = [Path(__file__).with_name(name) for name in ("cuda_emulator.h", "cuda_language.h")]
FLAGS = (
    *("-std=c++17", "-O1", "-g0", "-fPIC", "-shared", "-fno-strict-aliasing", "-ffp-contract=off", "-U_FORTIFY_SOURCE"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-sign-compare", "-Wno-unknown-pragmas"),
    # an error where it happens, without the sanitizers' libraries
    *("-fsanitize=bounds,alignment,signed-integer-overflow", "-fsanitize-undefined-trap-on-error"),
)
TYPES = {
    **dict.fromkeys(("char", "signed char"), "int8"),
    **dict.fromkeys(("unsigned", "unsigned int"), "uint32"),
    **dict.fromkeys(("unsigned long long", "size_t"), "uint64"),
    "bool": "bool",
    "unsigned char": "uint8",
    "short": "int16",
    "unsigned short": "uint16",
    "int": "int32",
    "long long": "int64",
    "float": "float32",
    "double": "float64",
}
VECTORS = {"char": "int8", "uchar": "uint8", "int": "int32", "uint": "uint32", "float": "float32", "double": "float64"}
KERNEL = re.compile(
    r"__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\((?P<bound>[^(),]*)[^()]*\)\s*)?(?:void\s+)?"
    r"(?P<name>\w+)\s*\((?P<parameters>[^()]*)\)\s*{"
)
SHARED = r"__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?(?P<type>[^;,\[\]=]+?)(?P<name>\w+)\s*"
DYNAMIC = re.compile(rf"\bextern\s+{SHARED}\[\s*\]\s*;")
STATIC = re.compile(rf"{SHARED}(?P<shape>(?:\[[^\]]+\]\s*)*);")
USUAL_SHARED, MOST_SHARED = 48 << 10, 227 << 10  # bytes a block; the most is what an H100 has


class KernelError(RuntimeError):
    """What a launch did that a GPU leaves undefined."""


@functools.cache
def find_compiler() -> str | None:
    """A C++ compiler: $CXX, g++ or clang++; none where fibers and guarded memory aren't known to work."""
    if not sys.platform.startswith("linux"):
        return None
    names = (os.environ.get("CXX", ""), "g++", "clang++")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def guarded(array: Any) -> Any:
    """A copy of a NumPy array, in memory that ends with the array; at most 15 bytes follow, so that it is aligned."""
    array = np.asarray(array)
    size = -(-array.nbytes // 16) * 16
    room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, room + mmap.PAGESIZE)
    memory[:] = b"\xff" * len(memory)
    end = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + room
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(end), ctypes.c_size_t(mmap.PAGESIZE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    copy = np.frombuffer(memory, array.dtype, array.size, room - size).reshape(array.shape)
    copy[...] = array
    return copy


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: the NumPy type that it takes, None where a pointer takes all."""

    name: str
    dtype: str | None
    pointer: bool
    const: bool

    @classmethod
    def parse(cls, text: str) -> Parameter:
        """Read `const float *__restrict__ x` and the like."""
        words = re.findall(r"\w+|\*|&", text.replace("__restrict__", ""))
        name, pointer = words[-1], "*" in words
        base = " ".join(word for word in words[:-1] if word not in ("*", "const", "volatile"))
        vector = re.fullmatch(r"([a-z]+)[24]", base)
        if pointer and base == "void":
            return cls(name, None, True, "const" in words)
        dtype = VECTORS.get(vector[1]) if pointer and vector else TYPES.get(base)
        if dtype is None or words.count("*") > 1:
            raise ValueError(f"parameter `{text.strip()}`: a type that CuPy has no argument for")
        return cls(name, dtype, pointer, "const" in words)

    def value(self, argument: Any, place: str) -> Any:
        """The argument as ctypes or NumPy hold it; a TypeError where a GPU would read something else."""
        wanted = f"{self.dtype or 'any'} {'array' if self.pointer else 'scalar'}"
        got = f"{getattr(argument, 'dtype', '')} {type(argument).__name__}".strip()
        if argument is None and self.pointer:
            return ctypes.c_void_p(0)
        if isinstance(argument, np.generic) == self.pointer or not hasattr(argument, "dtype"):
            raise TypeError(f"{place}, parameter {self.name}: a {wanted} is declared, not {got}")
        if self.dtype not in (None, argument.dtype):
            raise TypeError(f"{place}, parameter {self.name}: a {wanted} is declared, not {got}")
        if not self.pointer:
            return np.array(argument)
        if not isinstance(argument, np.ndarray):
            return ctypes.c_void_p(argument.data.ptr)
        if not (self.const or argument.flags.writeable):
            raise TypeError(f"{place}, parameter {self.name}: it isn't const, and the array is read-only")
        return ctypes.c_void_p(argument.ctypes.data)


def _three(sizes: Sequence[int], most: tuple[int, int, int], what: str) -> tuple[int, int, int]:
    """A grid's or block's size in three dimensions, within CUDA's limits."""
    sizes = (*map(int, sizes), *[1] * (3 - len(sizes)))
    if len(sizes) != 3 or not all(1 <= size <= limit for size, limit in zip(sizes, most, strict=True)):
        raise ValueError(f"{what} {sizes}: CUDA takes from (1, 1, 1) to {most}")
    return sizes[0], sizes[1], sizes[2]


def _seed(order: str | int) -> int:
    """An order as cuda_emulator.h has it."""
    seed = {"forward": -1, "backward": -2}.get(str(order))
    return int(order) if seed is None else seed


class Function:
    """A kernel of a module, called as CuPy's."""

    def __init__(self, module: Module, name: str, parameters: list[Parameter]) -> None:
        self.name, self._module, self._parameters = name, module, parameters
        self._bound: int = getattr(module.library, f"most_threads_of_{name}")()
        self._entry = ctypes.cast(getattr(module.library, f"emulated_{name}"), ctypes.c_void_p)
        self._most_shared = 0

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """The dynamic shared memory that a launch may ask for: what was set, else what is usual."""
        return self._most_shared or USUAL_SHARED

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if not 0 <= size <= MOST_SHARED:
            raise ValueError(f"kernel {self.name}: {size} bytes of shared memory; a block has at most {MOST_SHARED}")
        self._most_shared = size

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int = 0) -> None:
        """Launch, and wait for the end."""
        place = f"kernel {self.name}"
        grid = _three(grid, (2**31 - 1, 65535, 65535), f"{place}: grid")
        block = _three(block, (1024, 1024, 64), f"{place}: block")
        if math.prod(block) > self._bound:
            raise ValueError(f"{place}: a block of {math.prod(block)} threads; it takes at most {self._bound}")
        most = self.max_dynamic_shared_size_bytes
        if not 0 <= shared_mem <= most:
            raise ValueError(f"{place}: {shared_mem} bytes of dynamic shared memory; {most} are allowed")
        if len(args) != len(self._parameters):
            raise TypeError(f"{place} takes {len(self._parameters)} arguments, not {len(args)}")
        values = [parameter.value(arg, place) for parameter, arg in zip(self._parameters, args, strict=True)]
        self._run(values, (*grid, *block), shared_mem)

    def _run(self, values: list[Any], sizes: tuple[int, ...], shared: int) -> None:
        pointers = [value.ctypes.data if isinstance(value, np.ndarray) else ctypes.addressof(value) for value in values]
        problem = self._module.library.emulator_run(
            self._entry,
            (ctypes.c_void_p * len(pointers))(*pointers),
            (ctypes.c_uint * 6)(*sizes),
            ctypes.c_size_t(shared),
            ctypes.c_size_t(MOST_SHARED if self._most_shared else USUAL_SHARED),
            ctypes.c_int64(_seed(self._module.order)),
        )
        if problem:
            text = problem.decode()
            raise (ValueError if text.startswith("too much") else KernelError)(f"kernel {self.name}: {text}")


class Module:
    """A CUDA source, compiled; as cupy.RawModule.

    options: -D, -U and -W reach the compiler; those of NVRTC that don't change what is computed are passed over.
    folder:  keeps what is compiled, so that the same source isn't compiled again; one for this process without it.
    order:   of the threads and blocks: "forward", "backward" or the seed of a shuffle. It may be changed at any time,
             for all modules as Module.order.
    """

    order: str | int = os.environ.get("XPNN_EMULATOR_ORDER", "forward")

    def __init__(
        self, source: str, options: Sequence[str] = (), folder: Path | None = None, order: str | int | None = None
    ) -> None:
        if order is not None:
            self.order = order
        flags = _flags(options)
        text = _run_compiler([*flags, "-E", "-x", "c++", "-"], source)
        self._kernels = {match["name"]: match for match in KERNEL.finditer(text)}
        # PyDLL keeps Python's lock, so that one launch runs at a time
        self.library: Any = ctypes.PyDLL(str(_compile(_as_cpp(text), flags, folder)))
        self.library.emulator_run.restype = ctypes.c_char_p

    def get_function(self, name: str) -> Function:
        """The kernel of that name."""
        if name not in self._kernels:
            raise KeyError(f"no kernel {name} among {', '.join(self.names)}")
        texts = [text for text in self._kernels[name]["parameters"].split(",") if text.strip() not in ("", "void")]
        return Function(self, name, [Parameter.parse(text) for text in texts])

    @property
    def names(self) -> list[str]:
        """The kernels' names."""
        return list(self._kernels)


def _flags(options: Sequence[str]) -> list[str]:
    """The options as g++ and clang++ take them."""
    passed_over = ("--std=c++17", "-std=c++17", "--use_fast_math", "-use_fast_math", "--fmad", "-lineinfo")
    unknown = [option for option in options if not option.startswith(("-D", "-U", "-W", *passed_over))]
    if unknown:
        raise ValueError(f"options {unknown} mean nothing to the emulator")
    return [option for option in options if option.startswith(("-D", "-U", "-W"))]


def _as_cpp(text: str) -> str:
    """A source that the preprocessor has read, with shared memory as C++ can say it, and an entry for each kernel."""
    entries = [f"EMULATED_KERNEL({match['name']}, {match['bound'] or 1024})\n" for match in KERNEL.finditer(text)]
    if len(entries) != len(re.findall(r"\b__global__\b", text)):
        raise ValueError("a kernel is declared in a way that the emulator can't read")
    text = DYNAMIC.sub(r"\g<type> *const \g<name> = emulator::dynamic_shared<\g<type>>();", text)
    text = STATIC.sub(
        r"static emulator::Shared<\g<type> \g<shape>> shared_\g<name>; auto &\g<name> = shared_\g<name>.use();", text
    )
    if left := re.search(r".*__shared__.*", text):
        raise ValueError(f"shared memory is declared in a way that the emulator can't read: {left[0].strip()}")
    return f'#include "cuda_language.h"\n{text}\n{"".join(entries)}'


def _compile(text: str, flags: list[str], folder: Path | None) -> Path:
    """The shared library of a C++ source."""
    folder = folder or _process_folder()
    parts = [text, *flags, *FLAGS, str(find_compiler()), *(header.read_text(encoding="utf-8") for header in HEADERS)]
    library = folder / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # another process may compile the same
            made = Path(scratch, "kernels.so")
            _run_compiler([*FLAGS, *flags, f"-I{HEADERS[0].parent}", "-x", "c++", "-", "-o", str(made)], text)
            made.replace(library)
    return library


@functools.cache
def _process_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="cuda_emulator-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _run_compiler(arguments: list[str], source: str) -> str:
    compiler = find_compiler()
    if compiler is None:
        raise RuntimeError("no C++ compiler: set CXX, or install g++ or clang++ (Linux)")
    done = subprocess.run([compiler, *arguments], input=source, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise ValueError(f"the kernels don't compile:\n{done.stderr}")
    return done.stdout
