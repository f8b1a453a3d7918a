"""Regularisation: gradients against numeric ones, limits and averages against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from formulas import HIDDEN_NAMES
from numpy.typing import NDArray

from xpnn import MLP, Regularization, optimizers, to_host, train
from xpnn.backend import Array
from xpnn.optimizers import Optimizer, State, decoupled
from xpnn.regularization import Regularizer, noisy
from xpnn.schedules import constant
from xpnn.steps import ReferenceStep

SIZES = (5, 8, 7, 3)
N = 6


def gradient_keeper() -> Optimizer:
    """An optimizer that moves nothing and keeps the gradient in its state."""

    def update(gradient: Array, state: State, parameters: Array, coefficients: Any) -> None:
        state["gradient"][...] = gradient

    return Optimizer("keeper", constant(1.0), lambda p: {"gradient": p.copy()}, lambda steps, rates: (rates,), update)


def net_at(start: NDArray[Any], device: str, hidden: str = "tanh") -> MLP:
    net = MLP(SIZES, hidden=hidden, device=device, dtype="float64")
    net.parameters[...] = net.xp.asarray(start)
    return net


START: NDArray[Any] = np.random.default_rng(5).normal(scale=0.7, size=MLP(SIZES).parameters.size)
X: NDArray[Any] = np.random.default_rng(6).normal(size=(N, 5))
LABELS: NDArray[Any] = np.random.default_rng(7).integers(0, 3, N)


def one_step(net: MLP, regularization: Regularization, number: int = 3) -> tuple[NDArray[Any], float]:
    """(gradient, loss of the batch) of update `number`."""
    step = ReferenceStep(
        net,
        gradient_keeper(),
        net.place_inputs(X),
        net.place_targets(LABELS),
        N,
        regularization=regularization,
        seed=2,
    )
    step.begin_epoch(number, net.xp.asarray(np.ones((1, 3))))
    step(net.xp.asarray(np.arange(N)))
    return to_host(step.state["gradient"]), step.totals()[0] / N


def numeric_gradient(function: Any) -> NDArray[Any]:
    numeric, h = np.empty_like(START), 1e-6
    for i in range(len(START)):
        up, down = START.copy(), START.copy()
        up[i] += h
        down[i] -= h
        numeric[i] = (function(up) - function(down)) / (2 * h)
    return numeric


NOISES = {
    "dropout": Regularization(dropout=0.4),
    "input dropout": Regularization(input_dropout=0.4),
    "noise": Regularization(input_noise=0.5),
    "all": Regularization(dropout=0.2, input_dropout=0.3, input_noise=0.1),
}


@pytest.mark.parametrize("hidden", HIDDEN_NAMES)
@pytest.mark.parametrize("settings", NOISES.values(), ids=NOISES.keys())
def test_gradient_under_masks_and_noise_is_the_numeric_one(device: str, settings: Regularization, hidden: str) -> None:
    net = net_at(START, device, hidden)
    gradient, loss = one_step(net, settings)
    # central differences in float64: truncation h^2 and rounding 1e-16 / h, times losses of up to 10
    numeric = numeric_gradient(lambda p: one_step(net_at(p, "cpu", hidden), settings)[1])
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)
    assert loss != one_step(net, Regularization())[1]  # there was a mask
    assert loss != one_step(net, settings, number=4)[1]  # and another one at another step


def test_penalties_add_their_gradient_to_the_weights_alone(device: str) -> None:
    net = net_at(START, device)
    l1, l2 = 0.03, 0.05
    added = one_step(net, Regularization(l1=l1, l2=l2))[0] - one_step(net, Regularization())[0]
    weights = 5 * 8 + 8 * 7 + 7 * 3

    def penalty(p: NDArray[Any]) -> float:
        w = p[:weights]
        return float(l1 * abs(w).sum() + l2 / 2 * (w * w).sum())

    np.testing.assert_allclose(added, numeric_gradient(penalty), rtol=1e-6, atol=1e-8)
    assert (added[weights:] == 0).all()  # biases
    assert (added[:weights] != 0).all()


@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_clipping_by_norm_keeps_the_direction(device: str, limit: float) -> None:
    net = net_at(START, device)
    gradient, clipped = (one_step(net, Regularization(clip_norm=value))[0] for value in (0, limit))
    norm = np.linalg.norm(gradient)
    assert 1e-3 < norm < 1e3
    np.testing.assert_allclose(clipped, gradient * min(1, limit / norm), rtol=1e-12)


def test_clipping_by_value_limits_each_part(device: str) -> None:
    net = net_at(START, device)
    gradient, clipped = (one_step(net, Regularization(clip_value=value))[0] for value in (0, 0.01))
    assert (abs(gradient) > 0.01).any()
    assert (abs(gradient) < 0.01).any()
    np.testing.assert_array_equal(clipped, np.clip(gradient, -0.01, 0.01))


def test_decoupled_decay_shrinks_the_weights_by_the_rate_and_leaves_the_biases(device: str) -> None:
    rate, decay = 0.1, 0.3
    net, plain = net_at(START, device), net_at(START, device)
    for which, factor in ((net, decay), (plain, 0.0)):
        which.train(X, LABELS, epochs=1, batch_size=N, optimizer=decoupled(optimizers.sgd(rate), factor))
    lost = to_host(plain.parameters) - to_host(net.parameters)
    weights = net.weights.size
    np.testing.assert_allclose(lost[:weights], rate * decay * START[:weights], rtol=1e-9, atol=1e-14)
    assert (lost[weights:] == 0).all()


def test_max_norm_limits_what_comes_into_hidden_units(device: str) -> None:
    limit = 1.5
    net, free = net_at(START, device), net_at(START, device)
    for which, value in ((net, limit), (free, 0.0)):
        which.train(X, LABELS, epochs=1, batch_size=N, regularization=Regularization(max_norm=value))
    for number, (layer, unlimited) in enumerate(zip(net.layers, free.layers, strict=True)):
        W = to_host(unlimited.W)
        norms = np.linalg.norm(W, axis=1, keepdims=True)
        if number < 2:
            assert (norms > limit).any()
            assert (norms < limit).any()
            W = W * np.minimum(1, limit / norms)
        np.testing.assert_allclose(to_host(layer.W), W, rtol=1e-12)
        np.testing.assert_array_equal(to_host(layer.b), to_host(unlimited.b))


def test_between_epochs_the_net_has_the_average_of_its_parameters(device: str) -> None:
    decay, visited = 0.9, []
    net, plain = net_at(START, device), net_at(START, device)
    options: dict[str, Any] = {"epochs": 3, "batch_size": 2, "optimizer": optimizers.sgd(0.1), "fast": False}
    epochs = train(
        net,
        (X, LABELS),
        average_decay=decay,
        progress=lambda _: visited.append(to_host(net.parameters).copy()),
        **options,
    )
    for number, _ in enumerate(epochs, 1):
        ages = np.arange(3 * number)[::-1]
        weights = decay**ages * (1 - decay) / (1 - decay ** (3 * number))
        np.testing.assert_allclose(to_host(net.parameters), weights @ np.array(visited), rtol=1e-12)
    list(train(plain, (X, LABELS), **options))
    np.testing.assert_array_equal(visited[-1], to_host(plain.parameters))  # and learns on without it


def test_dropout_is_scaled_so_that_a_query_needs_no_scale(device: str) -> None:
    """The mean output of a linear net under many masks is its output without any."""
    net = MLP([5, 40, 1], hidden="identity", output="identity", device=device, dtype="float64", seed=1)
    x, t = np.tile(X[:1], (4000, 1)), np.zeros(4000)
    step = ReferenceStep(
        net,
        gradient_keeper(),
        net.place_inputs(x),
        net.place_targets(t),
        4000,
        regularization=Regularization(dropout=0.5, input_dropout=0.2),
    )
    step.begin_epoch(0, net.xp.asarray(np.ones((1, 3))))
    step(net.xp.asarray(np.arange(4000)))
    outputs = to_host(step.buffers[4000].outputs[-1])
    assert abs(outputs.mean() - to_host(net.query(x))[0, 0]) < 4 * outputs.std() / 4000**0.5
    assert outputs.std() > 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "dropout must lie between 0 and 0.99, not 1.0"),
        ({"input_dropout": 0.999}, "input_dropout must lie between 0 and 0.99"),
        ({"l1": -1e-3}, "l1 must be 0 or a positive number"),
        ({"l2": float("nan")}, "l2 must be 0 or a positive number"),
        ({"max_norm": float("inf")}, "max_norm must be 0 or a positive number"),
        ({"max_norm": 1e-46}, "max_norm must be 0, for no limit, or 1e-30 or more"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Regularization(**settings)


@pytest.mark.parametrize("settings", [{"dropout": 0.3}, {"max_norm": 2.0}])
def test_what_is_for_hidden_layers_alone_is_refused_without_any(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="are for hidden layers, and this net has none: leave them out"):
        train(MLP([5, 3]), (X, LABELS), regularization=Regularization(**settings))
    train(MLP([5, 3]), (X, LABELS), regularization=Regularization(input_dropout=0.3, l2=0.1))


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_average_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"average_decay must lie in \[0, 1\)"):
        train(MLP(SIZES), (X, LABELS), average_decay=decay)


def masks_of(settings: Regularization, device: str, seed: int = 2, first: int = 3) -> list[NDArray[Any]]:
    """The masks of both hidden layers, which are as wide as each other, in update `first`."""
    net = MLP([8, 8, 8, 3], device=device)
    regularizer = Regularizer(settings, net, net.xp.zeros_like(net.parameters), 40, seed)
    regularizer.draws.begin_epoch(first, 2)
    regularizer.draws.draw(net.xp.asarray(np.array([0])))
    return [to_host(mask) for mask in regularizer.masks if mask is not None]


def test_every_layer_seed_and_update_has_masks_of_its_own_whatever_else_is_on(device: str) -> None:
    one, two = masks_of(Regularization(dropout=0.5), device)
    others = [
        two,
        masks_of(Regularization(dropout=0.5), device, seed=3)[0],
        masks_of(Regularization(dropout=0.5), device, first=4)[0],
    ]
    for other in others:
        assert 0.3 < (one == other).mean() < 0.7
    with_all = masks_of(Regularization(dropout=0.5, input_dropout=0.2, input_noise=0.1), device)
    np.testing.assert_array_equal(with_all, [one, two])


def test_noise_by_itself_is_that_of_the_first_update(device: str) -> None:
    net = MLP([3, 2], device=device)
    x = net.xp.asarray(np.arange(12, dtype="float32").reshape(4, 3))
    regularizer = Regularizer(Regularization(input_noise=0.5), net, net.xp.zeros_like(net.parameters), 4, 7)
    regularizer.draws.begin_epoch(0, 1)
    regularizer.draws.draw(net.xp.zeros(1, dtype="int64"))
    found, expected = noisy(x, 0.5, 7), x.copy()
    regularizer.disturb(expected)
    np.testing.assert_array_equal(to_host(found), to_host(expected))
    assert np.ptp(to_host(found) - to_host(x)) > 0.1


@pytest.mark.parametrize("size", [1e-30, 1e-10, 1e10, 1e25, 1e37])
def test_clipping_by_norm_of_gradients_whose_squares_float32_cannot_hold(device: str, size: float) -> None:
    net = MLP([3, 2], device=device)
    gradient = net.xp.asarray(np.array([3, 0, 0, 0, -4, 0, 0, 0], dtype="float32") * np.float32(size / 5))
    regularizer = Regularizer(Regularization(clip_norm=1.0), net, gradient, 4, 0)
    regularizer.adjust_gradient()
    expected = np.array([3, 0, 0, 0, -4, 0, 0, 0]) / 5 * min(1, size)
    np.testing.assert_allclose(to_host(gradient), expected, rtol=1e-6)


def test_a_gradient_of_nothing_stays_so(device: str) -> None:
    net = MLP([3, 2], device=device)
    gradient = net.xp.zeros_like(net.parameters)
    Regularizer(Regularization(clip_norm=1.0), net, gradient, 4, 0).adjust_gradient()
    np.testing.assert_array_equal(to_host(gradient), 0)
