"""Tensors of PyTorch and JAX, by the real libraries: what goes in is not copied, what comes back is of their kind.

`nox -s interchange` installs both; where one is missing, its tests are skipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xpnn import MLP, evaluate, find_learning_rate, to_host, train
from xpnn.arrays import as_array

ROWS = np.random.default_rng(3).normal(size=(12, 3)).astype("float32")
LABELS = np.arange(12) % 2


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def jax() -> Any:
    return pytest.importorskip("jax", reason="JAX is not installed")


@pytest.fixture(params=["torch", "jax"])
def tensor_of(request: pytest.FixtureRequest) -> Any:
    library = request.getfixturevalue(request.param)
    return library.tensor if request.param == "torch" else library.numpy.asarray


@pytest.mark.filterwarnings("default")  # the libraries' own
def test_tensors_train_as_their_numbers_do(device: str, tensor_of: Any) -> None:
    given, plain = (MLP([3, 4, 2], device=device, seed=1) for _ in range(2))
    pair = (tensor_of(ROWS), tensor_of(LABELS))
    records = list(train(given, pair, validation=pair, epochs=2, batch_size=4))
    expected = list(train(plain, (ROWS, LABELS), validation=(ROWS, LABELS), epochs=2, batch_size=4))
    assert [record.loss for record in records] == [record.loss for record in expected]
    np.testing.assert_array_equal(to_host(given.parameters), to_host(plain.parameters))
    assert evaluate(given, pair).loss == evaluate(plain, (ROWS, LABELS)).loss
    sweep, other = (find_learning_rate(given, rows, steps=20) for rows in (pair, (ROWS, LABELS)))
    np.testing.assert_array_equal(sweep.losses, other.losses)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_answers_are_tensors_of_the_same_library(tensor_of: Any, dtype: str) -> None:
    net = MLP([3, 4, 2], dtype=dtype, seed=1)
    rows = tensor_of(ROWS)
    for given, plain in ((rows, ROWS), (rows[0], ROWS[0])):
        answers, classes = net.query(given), net.predict(given)
        assert type(answers) is type(rows)
        assert type(classes) is type(rows)
        # JAX holds no more than float32 unless it is told to
        np.testing.assert_allclose(np.asarray(answers), net.query(plain), rtol=1e-7 if dtype == "float64" else 0)
        np.testing.assert_array_equal(np.asarray(classes), net.predict(plain))


def test_tensors_on_the_host_are_not_copied(torch: Any, jax: Any) -> None:
    rows = torch.tensor(ROWS)
    assert np.shares_memory(as_array(rows), rows.numpy())
    there = jax.numpy.asarray(ROWS)
    assert np.shares_memory(as_array(there), np.asarray(there))
    assert not as_array(there).flags.writeable


def test_any_layout_of_a_tensor_is_read(torch: Any) -> None:
    net, rows = MLP([3, 2], seed=1), torch.tensor(np.repeat(ROWS, 2, axis=1))
    for view in (rows[:, ::2], torch.tensor(np.ascontiguousarray(ROWS.T)).T, torch.tensor(ROWS).expand(12, 3)):
        np.testing.assert_array_equal(net.query(view).numpy(), net.query(ROWS))
    negated = torch.complex(rows[:, :3], -rows[:, ::2]).conj().imag  # a sign that PyTorch has put off
    assert negated.is_neg()
    np.testing.assert_array_equal(net.query(negated).numpy(), net.query(ROWS))
    one = torch.nn.Parameter(rows[:, ::2], requires_grad=False)  # a subclass
    assert type(net.query(one)) is torch.Tensor


def test_bfloat16_is_widened(torch: Any, jax: Any) -> None:
    net = MLP([3, 2], seed=1)
    halves = np.round(ROWS * 4) / 4  # which bfloat16 holds
    np.testing.assert_array_equal(net.query(torch.tensor(halves).bfloat16()).numpy(), net.query(halves))
    there = jax.numpy.asarray(halves, dtype="bfloat16")
    np.testing.assert_array_equal(np.asarray(net.query(there)), net.query(halves))
    np.testing.assert_array_equal(net.query(np.asarray(there)), net.query(halves))


def test_tensors_that_cannot_be_read_are_refused_in_a_line(torch: Any, jax: Any) -> None:
    net, rows = MLP([3, 2]), torch.tensor(ROWS)
    for given, message in (
        (rows.clone().requires_grad_(), r"this Tensor can't be read as an array: .*requires grad.*detach\(\)"),
        (rows.to_sparse(), r"Sparse layout tensor.*to_dense\(\)"),
        (rows.to("meta"), "this Tensor can't be read as an array: Unknown device type meta"),
        ([rows.clone().requires_grad_()], "this list can't be read as an array: .*requires grad"),
        (torch.nn.Linear(3, 2), "a Linear is no array of numbers"),
    ):
        with pytest.raises(TypeError, match=message) as caught:
            net.query(given)
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match="this .*Tracer can't be read as an array: The numpy.ndarray conv"):
        jax.jit(net.query)(jax.numpy.asarray(ROWS))


@pytest.mark.usefixtures("fake_cupy")
def test_a_host_tensor_given_to_a_net_on_a_card_where_its_library_has_none(torch: Any) -> None:
    with pytest.raises(TypeError, match="where this torch can't have them .*; give the inputs as an array of NumPy"):
        MLP([3, 2], device="cuda").query(torch.tensor(ROWS))
