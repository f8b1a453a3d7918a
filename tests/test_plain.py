"""Values as JSON and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xpnn.plain import from_plain, to_plain

numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
keys = st.integers() | st.text() | st.booleans()
values = st.recursive(
    numbers,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_values_come_back_with_their_types(value: Any) -> None:
    found = from_plain(json.loads(json.dumps(to_plain(value))))
    assert repr(found) == repr(value)


@given(
    arrays.arrays(
        st.sampled_from(["float64", "float32", "int64", "bool", "<U3"]), arrays.array_shapes(min_dims=0, max_dims=2)
    )
)
def test_arrays_come_back_to_the_bit(array: np.ndarray[Any, Any]) -> None:
    found = from_plain(json.loads(json.dumps(to_plain(array))))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_arrays_of_strings_of_any_length() -> None:
    found = from_plain(to_plain(np.array(["a", "longer"], dtype=object)))
    assert found.dtype == object
    assert found.tolist() == ["a", "longer"]


@pytest.mark.parametrize("value", [print, object(), {1, 2}, np.array([print]), np.array([1j]), [(print,)], b"bytes"])
def test_what_is_no_data_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="can't be written as data"):
        to_plain(value)


@pytest.mark.parametrize(
    "plain",
    [{}, {"function": "print"}, {"array": ["|O", [1]]}, {"array": ["V8", []]}, {"array": [1, 2]}, {"tuple": 1}],
)
def test_what_was_never_written_is_refused(plain: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_plain(plain)
