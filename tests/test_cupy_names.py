"""What the fake device offers exists in the real CuPy, and the product asks for no more than that.

The real CuPy imports without a GPU and without a driver; where it isn't installed, what needs it is skipped.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_cuda import CUDARuntimeError
from fake_device import ATTRIBUTES, FUNCTIONS, METHODS, OPERATORS, WAITING, FakeDevice, make_fake_cupy
from fake_trouble import OutOfMemoryError

import xpnn
from xpnn.backend import Device, get_xp, why_no_cuda, xp_of
from xpnn.errors import DeviceError
from xpnn.failures import device_error, is_cuda_error, is_out_of_memory

PACKAGE = Path(inspect.getfile(xpnn)).parent
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if "fast" not in path.parts]  # fast is CuPy's alone
DEVICE_AGNOSTIC = (
    *("activations", "augmenter", "gates", "losses", "layers", "network", "noise", "normal", "optimizers"),
    *("shuffles", "steps"),
)
OTHER_NAMES = {"cuda", "finfo", "from_dlpack", "get_default_memory_pool"}  # of the module, beside the functions


@pytest.fixture(scope="module")
def cupy() -> Any:
    return pytest.importorskip("cupy", reason="CuPy is not installed")


def uses_of_xp(tree: ast.AST) -> Iterator[tuple[ast.Attribute, ast.Call | None]]:
    """Each `xp.NAME`, where xp may be `net.xp`, `xp_of(...)` or `cupy` too; with its call, if it is called."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case (
                ast.Attribute(value=ast.Name(id="xp" | "cupy"))
                | ast.Attribute(value=ast.Attribute(attr="xp"))
                | ast.Attribute(value=ast.Call(func=ast.Name(id="xp_of" | "get_xp")))
            ):
                yield node, calls.get(id(node))


def tree_of(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def misuses(source: str) -> list[str]:
    """The uses of xp in a source that the fake's table doesn't have."""
    found = []
    for name, call in uses_of_xp(ast.parse(source)):
        if name.attr in OTHER_NAMES:
            continue
        count, keywords = FUNCTIONS.get(name.attr, (-1, ()))
        if count < 0 or (
            call and not (len(call.args) == count and {word.arg for word in call.keywords} <= set(keywords))
        ):
            found.append(f"line {name.lineno}: {ast.unparse(call or name)}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_product_uses_only_what_the_fake_has(path: Path) -> None:
    assert misuses(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "xp.where(a, b, c)",
        "xp.take(a, rows, axis=0, out=out, mode='clip')",
        "self.net.xp.add(a, b, where=c)",
        "xp_of(a, b).add(a, b, c)",
        "get_xp('cpu').exp(a, **options)",
        "function = xp.where",
        "cupy.empty(3, 'float32')",
    ],
)
def test_a_misuse_is_found(line: str) -> None:
    assert len(misuses(f"def f():\n    {line}")) == 1


def test_every_function_of_the_fake_is_used() -> None:
    used = {name.attr for path in SOURCES for name, _ in uses_of_xp(tree_of(path))}

    assert used == {*FUNCTIONS, *OTHER_NAMES}


@pytest.mark.parametrize("module", DEVICE_AGNOSTIC)
def test_the_algorithm_uses_only_what_the_fakes_arrays_have(module: str) -> None:
    trees = [tree_of(path) for path in SOURCES if path.relative_to(PACKAGE).parts[0].removesuffix(".py") == module]
    xp = {id(name) for tree in trees for name, _ in uses_of_xp(tree)}
    nodes = [node for tree in trees for node in ast.walk(tree)]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and id(node) not in xp]
    names = {node.attr for node in attributes if ast.unparse(node.value) != "math"}

    assert nodes
    assert names & set(dir(np.ndarray)) - {"device"} <= {*METHODS, *ATTRIBUTES, "T"}  # `device` is the net's


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_cupys_with_its_keywords(cupy: Any, name: str) -> None:
    function = getattr(cupy, name)
    count, keywords = FUNCTIONS[name]

    if isinstance(function, cupy.ufunc):
        assert (function.nin, function.nout) == (count, 1)
        with pytest.raises(TypeError, match=r"Wrong arguments {'unknown': None}"):  # it names all that it doesn't take
            function(*range(count), **dict.fromkeys((*keywords, "unknown")))
    else:
        inspect.signature(function).bind(*range(count), **dict.fromkeys(keywords))


@pytest.mark.parametrize("name", METHODS)
def test_method_is_cupys_with_its_keywords(cupy: Any, name: str) -> None:
    signature = getattr(cupy.ndarray, name).__doc__.splitlines()[0]  # compiled methods have theirs there

    assert f".{name}(self" in signature
    assert [keyword for keyword in METHODS[name] if f" {keyword}=" not in signature] == []


def test_attributes_and_operators_are_cupys(cupy: Any) -> None:
    special = [f"__{name}__" for name in (*OPERATORS, "float", "int", "bool", "len", "getitem", "setitem")]
    missing = [name for name in (*ATTRIBUTES, "T", *special, "__abs__") if not hasattr(cupy.ndarray, name)]

    assert missing == []
    assert not hasattr(cupy.ndarray, "__index__")
    assert set(WAITING) <= set(METHODS)


def test_other_names_are_cupys(cupy: Any) -> None:
    assert cupy.finfo("float32").tiny == np.finfo("float32").tiny
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, Exception)
    assert callable(cupy.cuda.runtime.getDeviceCount)
    assert "from_dlpack(array" in cupy.from_dlpack.__doc__
    assert [name for name in FakeDevice.__dict__ if name[0] != "_" and not hasattr(cupy.cuda.Device, name)] == []
    assert hasattr(cupy.cuda.Device, "__enter__")
    assert hasattr(cupy.cuda.Device(0), "id")
    assert hasattr(cupy.ndarray, "device")
    assert {"free_bytes"} <= set(dir(cupy.get_default_memory_pool()))


def test_errors_are_cupys(cupy: Any) -> None:
    for fake, real in (
        (OutOfMemoryError, cupy.cuda.memory.OutOfMemoryError),
        (CUDARuntimeError, cupy.cuda.runtime.CUDARuntimeError),
    ):
        assert (fake.__module__, fake.__name__, fake.__base__) == (real.__module__, real.__name__, real.__base__)
    for numbers in ((1600 << 20, 5_000_000), (512, 0, 2 << 30)):
        assert str(OutOfMemoryError(*numbers)) == str(cupy.cuda.memory.OutOfMemoryError(*numbers))


def test_cupys_errors_are_told_apart(cupy: Any) -> None:
    shortage = cupy.cuda.memory.OutOfMemoryError(1600 << 20, 5_000_000, 2 << 30)
    text = str(device_error(shortage, make_fake_cupy().cuda.Device(0)))
    assert "out of memory: 1.6 GiB more were needed, 80.0 GiB of its 80.0 GiB are free, CuPy may take 2.0 GiB" in text
    assert is_out_of_memory(cupy.cuda.runtime.CUDARuntimeError(2))
    for code, name in ((46, "DevicesUnavailable"), (214, "ECCUncorrectable"), (700, "IllegalAddress")):
        error = cupy.cuda.runtime.CUDARuntimeError(code)
        assert is_cuda_error(error)
        assert not is_out_of_memory(error)
        assert f"cuda:0 failed (cudaError{name}: " in str(device_error(error, make_fake_cupy().cuda.Device(0)))
    error = cupy.cuda.compiler.CompileException("a.cu(3): error: no\nmore", "", "a.cu", ())
    assert "cuda:0 failed (a.cu(3): error: no): " in str(device_error(error, make_fake_cupy().cuda.Device(0)))
    assert is_cuda_error(
        cupy.cuda.driver.CUDADriverError.__new__(cupy.cuda.driver.CUDADriverError)
    )  # else it asks a driver
    assert not is_cuda_error(np.exceptions.AxisError("NumPy's"))


def test_streams_and_events_are_cupys(cupy: Any) -> None:
    cupyx = pytest.importorskip("cupyx")
    inspect.signature(cupyx.empty_pinned).bind((2, 3), dtype="uint8")
    assert {"record", "wait_event", "begin_capture", "end_capture"} <= set(dir(cupy.cuda.Stream))
    assert {"synchronize"} <= set(dir(cupy.cuda.Event))
    assert {"mem_info"} <= set(dir(cupy.cuda.Device))
    assert {"get_current_stream", "using_allocator", "MemoryPool"} <= set(dir(cupy.cuda))
    assert ".set(self, arr, stream=None)" in cupy.ndarray.set.__doc__.splitlines()[0]
    assert "disable_timing (bool)" in cupy.cuda.Event.__doc__


def test_array_types_are_told_by_their_module(cupy: Any) -> None:
    for module in (cupy, make_fake_cupy()):
        assert module.ndarray.__module__.partition(".")[0] == "cupy"
    with pytest.raises(TypeError, match="expected NumPy or CuPy arrays, not type"):
        xp_of(cupy.ndarray)


@pytest.fixture
def no_gpu(cupy: Any) -> None:
    if not why_no_cuda():
        pytest.skip("there is a GPU here; this is about a machine without")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_real_cupy_without_a_gpu_is_one_clear_line(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        Device.named(name)

    assert str(caught.value).startswith(f"device {name} can't be used: ")
    assert "driver" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_gpu")
def test_real_cupy_without_a_gpu_is_one_clear_line_in_the_middle_too() -> None:
    with pytest.raises(DeviceError) as caught, Device("cuda").active():
        pass
    assert re.match(r"cuda:0 failed \(cudaError.*: what was on the card is lost", str(caught.value))
    assert is_cuda_error(caught.value.__cause__)


@pytest.mark.usefixtures("no_gpu")
def test_real_cupy_without_a_gpu_leaves_the_cpu() -> None:
    assert get_xp("auto") is np
    with pytest.raises(DeviceError, match="device cuda can't be used"):
        xpnn.MLP([2, 2], device="cuda")
