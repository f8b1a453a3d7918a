"""The fake device refuses what CuPy refuses and counts what a GPU would wait for: other tests rely on it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_cuda import CUDARuntimeError
from fake_device import FUNCTIONS, METHODS, FakeCupy, make_fake_cupy

HOST = np.array([1.0, 2.0, 3.0])


@pytest.fixture
def array(fake_cupy: FakeCupy) -> Any:
    return fake_cupy.asarray(HOST)


def add_in_place(to: Any, values: Any) -> None:
    to += values


def assign(to: Any, values: Any) -> None:
    to[...] = values


MIXES: dict[str, Callable[[FakeCupy, Any], Any]] = {
    "function": lambda cupy, array: cupy.add(array, HOST),
    "function, host first": lambda cupy, array: cupy.add(HOST, array),
    "host only": lambda cupy, array: cupy.add(HOST, HOST),
    "host 0-d": lambda cupy, array: cupy.add(array, np.array(1.0)),
    "list": lambda cupy, array: cupy.add(array, [1, 2, 3]),
    "out on the host": lambda cupy, array: cupy.add(array, 1, out=HOST.copy()),
    "reduction of host": lambda cupy, array: cupy.sum(HOST),
    "copyto from host": lambda cupy, array: cupy.copyto(array, HOST),
    "copyto to host": lambda cupy, array: cupy.copyto(HOST.copy(), array),
    "take from host": lambda cupy, array: cupy.take(HOST, cupy.asarray([0]), axis=0),
    "take host rows": lambda cupy, array: cupy.take(array, np.array([0]), axis=0),
    "index": lambda cupy, array: array[np.array([0])],
    "index list": lambda cupy, array: array[[0]],
    "operator": lambda cupy, array: array + HOST,
    "reflected operator": lambda cupy, array: HOST + array,
    "in-place operator": lambda cupy, array: add_in_place(array, HOST),
    "host in-place operator": lambda cupy, array: add_in_place(HOST.copy(), array),
    "comparison": lambda cupy, array: array < HOST,
    "assignment": lambda cupy, array: assign(array, HOST),
    "assignment into host": lambda cupy, array: assign(HOST.copy(), array),
    "NumPy's function": lambda cupy, array: np.add(array, array),
    "NumPy's function with out": lambda cupy, array: np.add(HOST, HOST, out=array),
    "NumPy's reduction": lambda cupy, array: np.sum(array),
    "NumPy's stack": lambda cupy, array: np.stack([HOST, array]),
    "asarray": lambda cupy, array: np.asarray(array),
    "array": lambda cupy, array: np.array(array),
    "array of arrays": lambda cupy, array: np.array([array, array]),
    "array of numbers": lambda cupy, array: np.array([array[0]]),
    "__array__": lambda cupy, array: array.__array__(),
    "np.testing": lambda cupy, array: np.testing.assert_array_equal(array, HOST),
    "np.testing, host first": lambda cupy, array: np.testing.assert_allclose(HOST, array),
    "number for Python": lambda cupy, array: range(cupy.asarray(3)),
    "index of a list": lambda cupy, array: [1, 2][cupy.asarray(1)],
    "buffer": lambda cupy, array: memoryview(array),
}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES.keys())
def test_host_arrays_and_conversions_are_refused(fake_cupy: FakeCupy, array: Any, mix: Callable[..., Any]) -> None:
    with fake_cupy.counting() as counts, pytest.raises(TypeError):
        mix(fake_cupy, array)

    assert counts.synchronisations == 0
    np.testing.assert_array_equal(array.get(), HOST)


def test_python_and_numpy_scalars_are_allowed(fake_cupy: FakeCupy, array: Any) -> None:
    assert fake_cupy.add(array, 1).tolist() == [2, 3, 4]
    assert fake_cupy.maximum(2.0, array).tolist() == [2, 2, 3]
    assert fake_cupy.multiply(array, np.float64(2)).tolist() == [2, 4, 6]
    for two in (2, 2.0, np.float64(2)):
        assert (two * array).tolist() == (array * two).tolist() == [2, 4, 6]


@pytest.mark.parametrize("name", ["where", "dot", "linspace", "random", "__version__", "float32"])
def test_name_that_is_not_in_the_table_is_refused(fake_cupy: FakeCupy, name: str) -> None:
    with pytest.raises(AttributeError, match=f"cupy has no {name} .not in the fake's table"):
        getattr(fake_cupy, name)


@pytest.mark.parametrize("name", ["mean", "dot", "ctypes", "flags", "base", "__cuda_array_interface__"])
def test_attribute_of_arrays_that_is_not_in_the_table_is_refused(array: Any, name: str) -> None:
    with pytest.raises(AttributeError, match=f"cupy.ndarray has no {name}"):
        getattr(array, name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_keyword_that_is_not_in_the_table_is_refused(fake_cupy: FakeCupy, name: str) -> None:
    with pytest.raises(TypeError, match=f"cupy.{name} takes"):
        getattr(fake_cupy, name)(*range(FUNCTIONS[name][0]), mode="clip")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_another_number_of_arguments_is_refused(fake_cupy: FakeCupy, name: str) -> None:
    with pytest.raises(TypeError, match=f"cupy.{name} takes"):
        getattr(fake_cupy, name)(*range(FUNCTIONS[name][0] + 1))


@pytest.mark.parametrize("name", METHODS)
def test_keyword_of_a_method_that_is_not_in_the_table_is_refused(array: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"cupy.ndarray.{name} takes"):
        getattr(array, name)(subok=True)


def test_asarray_copies(fake_cupy: FakeCupy) -> None:
    host = HOST.copy()
    array = fake_cupy.asarray(host)
    host[:] = 0

    assert array.tolist() == [1, 2, 3]
    assert fake_cupy.asarray(array) is array
    assert fake_cupy.asarray(array, dtype="float32").dtype == "float32"


def test_get_gives_a_copy(array: Any) -> None:
    array.get()[:] = 0

    assert type(array.get()) is np.ndarray
    assert array.tolist() == [1, 2, 3]


@pytest.mark.parametrize("values", [np.array(["a"]), np.array([None]), ["text"]])
def test_what_a_gpu_cannot_hold_is_refused(fake_cupy: FakeCupy, values: Any) -> None:
    with pytest.raises(ValueError, match="Unsupported dtype"):
        fake_cupy.asarray(values)


def test_full_indexing_and_reductions_give_0d_arrays(fake_cupy: FakeCupy, array: Any) -> None:
    for number in (array[0], array.sum(), array.max(), array.argmax(), array.all(), array[0] + 1, fake_cupy.sum(array)):
        assert type(number) is fake_cupy.ndarray
        assert number.shape == ()


def test_basic_indexing_and_reshape_give_views(fake_cupy: FakeCupy, array: Any) -> None:
    with fake_cupy.counting() as counts:
        views = [array[0], array[1:], array[None], array[...], array.reshape(3, 1), array.reshape(3, 1).T, array[:1]]
        views.append(array[1:2].reshape(()))
    for view in views:
        view[...] = 7

    assert array.tolist() == [7, 7, 7]
    assert counts.allocations == 0


def test_in_place_operators_keep_the_array(array: Any) -> None:
    same = array
    array += 1
    array *= 2

    assert same is array
    assert same.tolist() == [4, 6, 8]


@pytest.mark.parametrize("row", [3, 4, -1])
def test_rows_beyond_the_end_wrap_round(fake_cupy: FakeCupy, array: Any, row: int) -> None:
    rows = fake_cupy.asarray([row])

    assert fake_cupy.take(array, rows, axis=0).tolist() == [HOST[row % 3]]
    assert array[rows].tolist() == [HOST[row % 3]]


def test_out_must_have_the_results_shape_and_a_type_of_its_kind(fake_cupy: FakeCupy, array: Any) -> None:
    with pytest.raises(ValueError, match="shape is mismatched"):
        fake_cupy.add(array, 1, out=fake_cupy.empty((2, 3)))
    with pytest.raises(ValueError, match="shape is mismatched"):
        fake_cupy.sum(array, out=fake_cupy.empty(1))
    with pytest.raises(TypeError, match="same_kind"):
        fake_cupy.add(array, 1, out=fake_cupy.empty(3, dtype="int64"))
    with pytest.raises(TypeError, match="dtype mismatch"):
        fake_cupy.take(array, fake_cupy.asarray([0]), axis=0, out=fake_cupy.empty(1, dtype="float32"))


def test_out_is_what_is_returned_and_an_array_may_be_read_and_written(fake_cupy: FakeCupy, array: Any) -> None:
    result = fake_cupy.subtract(1, array, out=array)

    assert result is array
    assert array.tolist() == [0, -1, -2]
    assert fake_cupy.greater(array, -1.5, out=array).tolist() == [1, 1, 0]


def test_overflow_does_not_warn(fake_cupy: FakeCupy) -> None:
    assert fake_cupy.exp(fake_cupy.asarray([1000.0])).tolist() == [float("inf")]


WAITS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "int": int,
    "bool": bool,
    "if": lambda array: 1 if array else 0,
    "not": operator.not_,
    "get": lambda array: array.get(),
    "item": lambda array: array.item(),
    "tolist": lambda array: array.tolist(),
    "repr": repr,
    "str": str,
    "in": lambda array: 5 in array.reshape(1),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_what_waits_for_the_device_is_counted(fake_cupy: FakeCupy, wait: Callable[[Any], Any]) -> None:
    number = fake_cupy.asarray(5)
    with fake_cupy.counting() as counts:
        wait(number)

    assert counts.synchronisations == 1


def test_finding_places_waits_for_their_number(fake_cupy: FakeCupy, array: Any) -> None:
    with fake_cupy.counting() as counts:
        places = fake_cupy.flatnonzero(array > 1)

    assert (places.tolist(), places.dtype, counts.synchronisations) == ([1, 2], "int64", 1)


def test_truth_of_many_is_refused(array: Any) -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        bool(array)


def test_what_does_not_wait_is_not_counted(fake_cupy: FakeCupy, array: Any) -> None:
    with fake_cupy.counting() as counts:
        assert (len(array), array.size, array.shape, array.dtype) == (3, 3, (3,), "float64")
        fake_cupy.sum(fake_cupy.exp(array) + 1 < 2)
        array[...] = array[0]

    assert counts.synchronisations == 0


MAKES: dict[str, Callable[[FakeCupy, Any], Any]] = {
    "function": lambda cupy, array: cupy.exp(array),
    "operator": lambda cupy, array: array + 1,
    "reduction": lambda cupy, array: array.sum(),
    "rows": lambda cupy, array: array[array],
    "zeros": lambda cupy, array: cupy.zeros(3),
    "empty_like": lambda cupy, array: cupy.empty_like(array),
    "copy": lambda cupy, array: array.copy(),
    "astype": lambda cupy, array: array.astype("float32"),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES.keys())
def test_allocations_are_counted(fake_cupy: FakeCupy, make: Callable[..., Any]) -> None:
    array = fake_cupy.asarray([0, 1, 2])
    with fake_cupy.counting() as counts:
        make(fake_cupy, array)

    assert (counts.allocations, counts.copies) == (1, 0)


def test_writing_through_out_allocates_nothing(fake_cupy: FakeCupy, array: Any) -> None:
    total = fake_cupy.zeros(())
    with fake_cupy.counting() as counts:
        fake_cupy.exp(array, out=array)
        fake_cupy.sum(array, out=total)
        fake_cupy.copyto(array, total)
        array.fill(0)
        array[1:] = 4
        array.astype("float64", copy=False)

    assert counts.allocations == 0


def test_copies_to_the_device_are_counted(fake_cupy: FakeCupy, array: Any) -> None:
    with fake_cupy.counting() as counts:
        fake_cupy.asarray(HOST)
        fake_cupy.asarray([1, 2])
        fake_cupy.asarray(array)

    assert (counts.copies, counts.allocations) == (2, 2)


def test_counting_ends_with_the_block_and_nests(fake_cupy: FakeCupy, array: Any) -> None:
    with fake_cupy.counting() as outer:
        array.get()
        with fake_cupy.counting() as inner:
            array.get()
            array.get()
    array.get()

    assert (outer.synchronisations, inner.synchronisations) == (1, 2)


def test_arrays_stay_on_the_device_they_were_made_on(fake_cupy: FakeCupy, array: Any) -> None:
    with fake_cupy.cuda.Device(1):
        other = fake_cupy.asarray(HOST)
        for refused in (
            lambda: array + other,
            lambda: array + 1,
            lambda: fake_cupy.add(other, 1, out=array),
            array.sum,
        ):
            with pytest.raises(ValueError, match="Array device must be same"):
                refused()
        assert (other + 1).tolist() == [2, 3, 4]
        assert array.tolist() == [1, 2, 3]  # reading works from anywhere
        moved = fake_cupy.asarray(array)
        assert (moved + other).tolist() == [2, 4, 6]
    with pytest.raises(ValueError, match="Array device must be same"):
        fake_cupy.exp(moved)


def test_arrays_of_two_fakes_do_not_mix(array: Any) -> None:
    with pytest.raises(ValueError, match="Array device must be same"):
        make_fake_cupy().add(array, 1)


def test_device_that_is_not_there() -> None:
    fake = make_fake_cupy(devices=1)

    assert fake.cuda.runtime.getDeviceCount() == 1
    with pytest.raises(CUDARuntimeError, match="cudaErrorInvalidDevice"), fake.cuda.Device(1):
        pass


def test_failure_of_the_runtime() -> None:
    fake = make_fake_cupy(failure="cudaErrorNoDevice: no CUDA-capable device is detected")

    for use in (fake.cuda.runtime.getDeviceCount, lambda: fake.zeros(3), lambda: fake.asarray(HOST)):
        with pytest.raises(fake.cuda.runtime.CUDARuntimeError, match="cudaErrorNoDevice"):
            use()


def test_failure_where_a_kernel_starts() -> None:
    fake = make_fake_cupy(failure=RuntimeError("no compiler"))

    assert fake.cuda.runtime.getDeviceCount() == 1
    with pytest.raises(RuntimeError, match="no compiler"):
        fake.zeros(3)
