"""xpnn/fast/kernels.cu compiles without a warning: with NVIDIA's compiler for every GPU, and for the CPU.

This needs no GPU. Where NVRTC isn't installed, what needs it is skipped.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from cuda_emulator import Module, find_compiler
from nvrtc import CompileError, Nvrtc, find_nvrtc

import xpnn
from xpnn.fast import kernels

KERNELS = Path(inspect.getfile(xpnn)).parent / "fast" / "kernels.cu"
ARCHITECTURES = ["sm_70", "sm_80", "sm_90", "sm_100"]  # Volta, Ampere, Hopper, Blackwell
REALS = ["float", "double"]


@pytest.fixture
def source() -> str:
    if not KERNELS.exists():
        pytest.skip(f"there is no {KERNELS.name} in xpnn/fast")
    return KERNELS.read_text(encoding="utf-8")


def nvrtc_for(arch: str) -> Nvrtc:
    library = find_nvrtc(arch)
    if library is None:
        found = find_nvrtc()
        pytest.skip(f"NVRTC {found.version} knows no {arch}" if found else "NVRTC is not installed")
    return library


def options(real: str) -> tuple[str, ...]:
    return kernels.options({"float": "float32", "double": "float64"}[real])


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernels_compile_for_a_gpu_without_a_warning(source: str, arch: str, real: str) -> None:
    code, log = nvrtc_for(arch).compile(source, (*options(real), "-ftz=true"), arch)  # as CuPy has it

    assert log == ""
    assert code.startswith(b"\x7fELF")


@pytest.mark.skipif(not find_compiler(), reason="no C++ compiler: neither $CXX, g++ nor clang++ (Linux)")
@pytest.mark.parametrize("real", REALS)
def test_kernels_compile_for_the_emulator_without_a_warning(source: str, tmp_path: Path, real: str) -> None:
    module = Module(source, options(real), tmp_path)

    assert module.names
    for name in module.names:
        module.get_function(name)  # it has only parameters that CuPy can fill


def planted(line: str) -> str:
    return f'extern "C" __global__ void f(REAL *x) {{\n{line}\n}}'


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_without_a_warning_the_log_is_empty(arch: str) -> None:
    code, log = nvrtc_for(arch).compile(planted("x[threadIdx.x] = 1;"), options("double"), arch)

    assert log == ""
    assert b"f" in code


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(
    ("line", "warning"), [("int unused;", '"unused" was declared but never'), ("int i; x[0] = i;", "before its value")]
)
def test_warning_is_in_the_log(arch: str, line: str, warning: str) -> None:
    _, log = nvrtc_for(arch).compile(planted(line), options("float"), arch)

    assert log.startswith("kernels.cu(2): warning")
    assert warning in log


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("x[0] = y;", 'identifier "y" is undefined'),
        ("__shared__ REAL t[20000]; t[threadIdx.x] = x[0]; __syncthreads(); x[1] = t[7];", "too much shared data"),
    ],
)
def test_error_is_one(arch: str, line: str, error: str) -> None:
    with pytest.raises(CompileError, match=error):
        nvrtc_for(arch).compile(planted(line), options("float"), arch)
