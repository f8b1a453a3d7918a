"""Own calls of cuBLAS: matrices as they lie in memory, scalars, precision, failures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_device import FakeCupy

from xpnn import DeviceError, to_host
from xpnn.backend import get_xp, matmul
from xpnn.failures import CublasError
from xpnn.fast import cublas
from xpnn.fast.cublas import Cublas

SHAPES = [(1, 1, 1), (1, 5, 1), (3, 1, 4), (1, 7, 3), (5, 3, 1), (4, 6, 5), (33, 17, 9)]


def laid_out(xp: Any, values: Any, layout: str) -> Any:
    """The matrix, by rows, as the transpose of one by rows, or as part of a wider one."""
    if layout == "transposed":
        return xp.asarray(np.ascontiguousarray(values.T)).T
    if layout == "part":
        wide = np.zeros((values.shape[0], values.shape[1] + 3), dtype=values.dtype)
        wide[:, : values.shape[1]] = values
        return xp.asarray(wide)[:, : values.shape[1]]
    if layout == "transposed part":
        return laid_out(xp, values.T, "part").T
    return xp.asarray(values)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout_b", ["rows", "transposed", "part", "transposed part"])
@pytest.mark.parametrize("layout_a", ["rows", "transposed", "part", "transposed part"])
def test_products_of_every_layout_are_numpys(cuda: str, layout_a: str, layout_b: str, dtype: str) -> None:
    xp, generator = get_xp(cuda), np.random.default_rng(0)
    blas = Cublas(xp, dtype)
    for n, k, m in SHAPES:
        a, b = generator.normal(size=(n, k)).astype(dtype), generator.normal(size=(k, m)).astype(dtype)
        out = xp.asarray(np.full((n, m), np.nan, dtype=dtype))
        blas.matmul(laid_out(xp, a, layout_a), laid_out(xp, b, layout_b), out)
        expected = np.empty((n, m), dtype=dtype)
        matmul(a, b, expected)
        np.testing.assert_allclose(to_host(out), expected, rtol=1e-12 if dtype == "float64" else 1e-5, atol=1e-6)


def test_a_row_and_a_column_may_lie_anyhow(cuda: str) -> None:
    """Every second number of a row: the stride says nothing of a matrix's one row."""
    xp, values = get_xp(cuda), np.arange(1.0, 33).reshape(4, 8)
    wide, out = xp.asarray(values), xp.zeros((4, 4))
    blas = Cublas(xp, "float64")
    blas.matmul(wide[::2, ::2][:, :1], wide[2:3, ::2], out[:2])
    np.testing.assert_array_equal(to_host(out)[:2], values[::2, :1] * values[2, ::2])
    blas.matmul(wide[1:2, ::2], wide[:, ::2][:, 1:2], out[3:, :1])
    assert to_host(out)[3, 0] == values[1, ::2] @ values[:, 2]


def test_scalars_add_to_what_is_there(cuda: str) -> None:
    xp, generator = get_xp(cuda), np.random.default_rng(0)
    a, b, c = (generator.normal(size=shape) for shape in [(3, 4), (4, 5), (3, 5)])
    wide = xp.asarray(np.concatenate([c, c], axis=1))
    Cublas(xp, "float64").matmul(xp.asarray(a), xp.asarray(b), wide[:, :5], alpha=-0.5, beta=2.0)
    np.testing.assert_allclose(to_host(wide)[:, :5], 2 * c - 0.5 * a @ b, rtol=1e-12)
    np.testing.assert_array_equal(to_host(wide)[:, 5:], c)  # beside it nothing changes


@pytest.mark.parametrize(("precision", "bits"), [("float32", 24), ("tf32", 11), ("bf16", 8)])
def test_precision_is_that_of_the_factors(cuda: str, precision: str, bits: int) -> None:
    xp, generator = get_xp(cuda), np.random.default_rng(0)
    a, b = generator.random((64, 50)), generator.random((50, 64))
    out = xp.zeros((64, 64), dtype="float32")
    Cublas(xp, "float32", precision).matmul(xp.asarray(a, dtype="float32"), xp.asarray(b, dtype="float32"), out)
    error = abs(to_host(out) - a @ b) / (a @ b)
    assert 2.0 ** -(bits + 6) < error.max() < 2.0 ** -(bits - 1) + 50 * 2.0**-24  # and of the sum of 50 products


@pytest.mark.parametrize(("shapes"), [((2, 3), (4, 5), (2, 5)), ((2, 3), (3, 5), (5, 2)), ((2, 3), (3, 5), (2, 6))])
def test_shapes_that_do_not_fit_are_refused(cuda: str, shapes: Any) -> None:
    xp = get_xp(cuda)
    with pytest.raises(ValueError, match="can't write the product of"):
        Cublas(xp, "float32").matmul(*(xp.zeros(shape, dtype="float32") for shape in shapes))


def test_layouts_that_cublas_does_not_know_are_refused(cuda: str) -> None:
    xp = get_xp(cuda)
    blas, square = Cublas(xp, "float32"), xp.zeros((4, 4), dtype="float32")
    with pytest.raises(ValueError, match="neither by rows nor by columns"):
        blas.matmul(xp.zeros((8, 8), dtype="float32")[::2, ::2], square, square)
    with pytest.raises(ValueError, match="by rows"):
        blas.matmul(square, square, xp.zeros((4, 4), dtype="float32").T)


def test_precision_of_float64_is_refused(cuda: str) -> None:
    with pytest.raises(ValueError, match="products of float64 can't be rounded to tf32"):
        Cublas(get_xp(cuda), "float64", "tf32")


def test_failures_are_told_in_cublas_own_words(fake_cupy: FakeCupy) -> None:
    blas, square = Cublas(fake_cupy, "float32"), fake_cupy.zeros((2, 2), dtype="float32")
    fake_cupy.cublas.failure = 13
    with pytest.raises(CublasError, match="cublasSetStream_v2 failed: status 13 of the fake"):
        blas.matmul(square, square, fake_cupy.zeros((2, 2), dtype="float32"))
    fake_cupy.cublas.failure = 0


def test_a_failure_without_a_name_has_its_number(fake_cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    blas = Cublas(fake_cupy, "float32")
    monkeypatch.setattr(fake_cupy.cublas.cublasGetStatusString, "function", lambda status: None)
    monkeypatch.setattr(fake_cupy.cublas, "failure", 7)
    with pytest.raises(CublasError, match=r"failed: status 7$"):
        blas.matmul(*(fake_cupy.zeros((2, 2), dtype="float32") for _ in range(3)))


def test_the_workspace_is_as_large_as_is_said(fake_cupy: FakeCupy) -> None:
    blas = Cublas(fake_cupy, "float32")
    blas.matmul(*(fake_cupy.zeros((2, 2), dtype="float32") for _ in range(3)))
    assert fake_cupy.cublas.workspace_size == blas.workspace.nbytes == cublas.WORKSPACE


def test_a_handle_is_destroyed_with_its_owner(fake_cupy: FakeCupy) -> None:
    blas = Cublas(fake_cupy, "float32")
    assert len(fake_cupy.cublas.settings) == 1
    del blas
    assert fake_cupy.cublas.settings == {}


def test_the_library_that_can_not_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cublas, "_library_path", lambda: "no-such-library.so")
    with pytest.raises(DeviceError, match=r"cuBLAS can't be loaded \(.*no-such-library"):
        cublas.library.__wrapped__()
