"""BPTT, RTRL and truncated BPTT: equal where they must be, each against an independent definition of what it omits."""

import numpy as np
import pytest

from flowcheck import bptt, catalogue, compile_cell, rtrl, truncated_1997, truncated_bptt
from flowcheck.kernels import ShapeError
from flowcheck.oracles import STEP

UNITS, INPUTS, STEPS = 4, 3, 9


def a_run(cell, rng, *, steps=STEPS, batch=2, gain=1.2):
    """A trajectory of a random net with nonzero initial state, and errors at its output."""
    kernel = compile_cell(cell)
    params = kernel.random_params(UNITS, INPUTS, rng, 2 if "blocks" in cell.sizes.values() else 1)
    params = {k: gain * rng.normal(size=v.shape) / np.sqrt(v.shape[-1]) for k, v in params.items()}
    lengths = kernel.lengths(params)
    state0 = {old: rng.normal(size=(batch, lengths[cell.sizes[old]])) for old in kernel.states}
    trajectory = kernel.forward(params, rng.normal(size=(steps, batch, INPUTS)), state0)
    return trajectory, rng.normal(size=trajectory[cell.output.name].shape)


def assert_same_gradient(got, expected, tolerance):
    assert got.keys() == expected.keys() and expected
    for name, gradient in expected.items():
        np.testing.assert_allclose(got[name], gradient, rtol=0, atol=tolerance * np.abs(gradient).max(), err_msg=name)


@pytest.mark.parametrize("cut", [(), True], ids=["full", "cut"])
def test_rtrl_is_bptt(cell, cut, rng):
    trajectory, errors = a_run(cell, rng)
    # nine steps of sums of at most 20 terms of one size, in another order
    assert_same_gradient(rtrl(trajectory, errors, cut).params, bptt(trajectory, errors, cut).params, 1e-12)


def test_rtrl_is_bptt_with_any_one_edge_cut(cell, rng):
    trajectory, errors = a_run(cell, rng, batch=1)
    for edge in cell.edges:
        cut = [str(edge)]
        assert_same_gradient(rtrl(trajectory, errors, cut).params, bptt(trajectory, errors, cut).params, 1e-12)


def test_cutting_makes_a_difference_where_something_recurs(cell, rng):
    trajectory, errors = a_run(cell, rng)
    full, cut = bptt(trajectory, errors).params, truncated_1997(trajectory, errors).params
    difference = max(np.abs(full[k] - cut[k]).max() / np.abs(full[k]).max() for k in full)
    assert (difference > 1e-2) == bool(cell.recurrent_edges)


def test_truncated_1997_is_bptt_with_every_recurrent_edge_cut(cell, rng):
    trajectory, errors = a_run(cell, rng)
    named = [str(edge) for edge in cell.recurrent_edges]
    assert_same_gradient(truncated_1997(trajectory, errors).params, bptt(trajectory, errors, cut=named).params, 0.0)


def test_bptt_to_inputs_and_initial_states_is_the_complex_step(cell, rng):
    trajectory, errors = a_run(cell, rng, batch=1)
    found, kernel, x = bptt(trajectory, errors), trajectory.kernel, trajectory.inputs["x"]
    for old, value in trajectory.state0.items():
        n = value.shape[-1]
        lanes = {k: np.repeat(v, n, axis=0).astype(complex) for k, v in trajectory.state0.items()}
        lanes[old] += 1j * STEP * np.eye(n)
        y = kernel.forward(trajectory.params, np.repeat(x, n, axis=1), lanes)[kernel.cell.output.name]
        expected = (y.imag * errors).sum(axis=(0, 2)) / STEP
        np.testing.assert_allclose(found.state0[old][0], expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    for j in range(INPUTS):
        lanes = np.repeat(x, STEPS, axis=1).astype(complex)
        lanes[np.arange(STEPS), np.arange(STEPS), j] += 1j * STEP
        state0 = {k: np.repeat(v, STEPS, axis=0) for k, v in trajectory.state0.items()}
        y = kernel.forward(trajectory.params, lanes, state0)[kernel.cell.output.name]
        expected = (y.imag * errors).sum(axis=(0, 2)) / STEP
        np.testing.assert_allclose(found.inputs["x"][:, 0, j], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_gradient_of_a_batch_is_the_sum_over_its_sequences(cell, rng):
    trajectory, errors = a_run(cell, rng, batch=3)
    whole = bptt(trajectory, errors)
    singles = [bptt(trajectory.sequence(b), errors[:, b:b + 1]) for b in range(3)]
    assert_same_gradient(whole.params, {k: sum(s.params[k] for s in singles) for k in whole.params}, 1e-13)
    assert_same_gradient(whole.inputs, {"x": np.concatenate([s.inputs["x"] for s in singles], axis=1)}, 1e-13)


def test_gradient_is_linear_in_the_errors(cell, rng):
    trajectory, errors = a_run(cell, rng)
    others = rng.normal(size=errors.shape)
    one, two = bptt(trajectory, errors).params, bptt(trajectory, others).params
    assert_same_gradient(bptt(trajectory, 3 * errors - others).params, {k: 3 * one[k] - two[k] for k in one}, 1e-13)


def test_errors_may_enter_at_several_vectors(cell, rng):
    trajectory, errors = a_run(cell, rng)
    net = cell.nets[0].out.name
    at_net = rng.normal(size=trajectory[net].shape)
    both = bptt(trajectory, {cell.output.name: errors, net: at_net}).params
    one, two = bptt(trajectory, errors).params, bptt(trajectory, {net: at_net}).params
    assert_same_gradient(both, {k: one[k] + two[k] for k in both}, 1e-13)
    assert_same_gradient(rtrl(trajectory, {cell.output.name: errors, net: at_net}).params, both, 1e-12)


ROWS = {"tanh": ([""], [""]), "lstm": (["in", "f", "c", "out"],) * 2, "gru": (["r", "z", "n"], ["r", "z", "m"])}


@pytest.mark.parametrize("name", ROWS)
def test_bptt_is_torch_autograd(name, rng):
    torch = pytest.importorskip("torch", reason="torch's autograd is the other hand here")
    trajectory, errors = a_run(catalogue()[name], rng, steps=15)
    params, (from_x, from_h) = trajectory.params, ROWS[name]
    module = {"tanh": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[name](INPUTS, UNITS).double()
    x_names, h_names = (
        ["_".join(filter(None, ("W", k, s))) for k in rows] for rows, s in ((from_x, "x"), (from_h, "y"))
    )
    b_names = ["_".join(filter(None, ("b", k))) for k in from_x]
    h_bias = ["b_m" if k == "m" else None for k in from_h]
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.from_numpy(np.concatenate([params[k] for k in x_names])))
        module.weight_hh_l0.copy_(torch.from_numpy(np.concatenate([params[k] for k in h_names])))
        module.bias_ih_l0.copy_(torch.from_numpy(np.concatenate([params[k] for k in b_names])))
        zeros = np.zeros(UNITS)
        module.bias_hh_l0.copy_(torch.from_numpy(np.concatenate([params[k] if k else zeros for k in h_bias])))
    x = torch.from_numpy(trajectory.inputs["x"]).requires_grad_()
    start = {
        old: torch.from_numpy(np.ascontiguousarray(v)[None].copy()).requires_grad_()
        for old, v in trajectory.state0.items()
    }
    y, _ = module(x, (start["y_prev"], start["s_prev"]) if name == "lstm" else start["y_prev"])
    (y * torch.from_numpy(errors)).sum().backward()
    expected = {}
    for names, tensor in ((x_names, module.weight_ih_l0), (h_names, module.weight_hh_l0), (b_names, module.bias_ih_l0)):
        expected |= dict(zip(names, np.split(tensor.grad.numpy(), len(names)), strict=True))
    if "m" in from_h:
        expected["b_m"] = module.bias_hh_l0.grad.numpy()[2 * UNITS:]
    found = bptt(trajectory, errors)
    # fifteen steps in another order, torch's exp and tanh within a few ulp of numpy's
    assert_same_gradient(found.params, {k: expected[k] for k in found.params}, 1e-12)
    assert_same_gradient(found.inputs, {"x": x.grad.numpy()}, 1e-12)
    assert_same_gradient(found.state0, {old: v.grad.numpy()[0] for old, v in start.items()}, 1e-12)


def truncated_by_definition(trajectory, errors, k1, k2):
    """Window by window: the state before it is a constant, its last k1 errors enter; each weight by complex step."""
    kernel, x, output = trajectory.kernel, trajectory.inputs["x"], trajectory.kernel.cell.output.name
    total = {name: np.zeros_like(p) for name, p in trajectory.params.items()}
    for start in range(0, trajectory.steps, k1):
        stop = min(start + k1, trajectory.steps)
        first = max(start + k1 - k2, 0)
        constant = {old: trajectory.at(old, first) for old in kernel.states}
        for name, weight in trajectory.params.items():
            for place in np.ndindex(weight.shape):
                moved = weight.astype(complex)
                moved[place] += 1j * STEP
                y = kernel.forward(trajectory.params | {name: moved}, x[first:stop], constant)[output]
                total[name][place] += (y.imag[start - first:] * errors[start:stop]).sum() / STEP
    return total


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (1, 3), (2, 3), (3, 3), (2, 5), (3, 7), (7, 7), (4, 9)])
@pytest.mark.parametrize("name", ["conventional", "gru_reset_before"])
def test_truncated_bptt_is_its_definition(name, k1, k2, rng):
    trajectory, errors = a_run(catalogue()[name], rng, steps=7, batch=1)
    expected = truncated_by_definition(trajectory, errors, k1, k2)
    assert_same_gradient(truncated_bptt(trajectory, errors, k1, k2).params, expected, 1e-12)


def test_truncated_bptt_is_its_definition_with_two_states(rng):
    trajectory, errors = a_run(catalogue()["lstm"], rng, steps=5, batch=1)
    expected = truncated_by_definition(trajectory, errors, 2, 3)
    assert_same_gradient(truncated_bptt(trajectory, errors, 2, 3).params, expected, 1e-12)
    full = bptt(trajectory, errors).params
    assert max(np.abs(full[k] - expected[k]).max() / np.abs(full[k]).max() for k in full) > 1e-3


@pytest.mark.parametrize(("k1", "k2"), [(STEPS, STEPS), (1, STEPS), (4, STEPS + 3), (STEPS + 5, STEPS + 5)])
def test_windows_as_long_as_the_sequence_are_bptt(cell, k1, k2, rng):
    trajectory, errors = a_run(cell, rng)
    assert_same_gradient(truncated_bptt(trajectory, errors, k1, k2).params, bptt(trajectory, errors).params, 1e-12)


def test_windows_of_one_step_send_no_error_through_time(rng):
    trajectory, errors = a_run(catalogue()["tanh"], rng)
    at_net = errors * (1 - trajectory["y"] ** 2)
    expected = {
        "W_x": np.einsum("tbi,tbj->ij", at_net, trajectory["x"]),
        "W_y": np.einsum("tbi,tbj->ij", at_net, trajectory["y_prev"]),
        "b": at_net.sum(axis=(0, 1)),
    }
    assert_same_gradient(truncated_bptt(trajectory, errors, 1, 1).params, expected, 1e-13)


def test_equal_windows_are_separate_runs(cell, rng):
    trajectory, errors = a_run(cell, rng)
    pieces = [bptt(trajectory.window(s, s + 3), errors[s:s + 3]).params for s in (0, 3, 6)]
    assert_same_gradient(
        truncated_bptt(trajectory, errors, 3, 3).params, {k: sum(p[k] for p in pieces) for k in pieces[0]}, 1e-13
    )


@pytest.mark.parametrize(("k1", "k2"), [(3, 2), (0, 2), (0, 0), (-1, 5)])
def test_impossible_windows_are_refused(k1, k2, rng):
    trajectory, errors = a_run(catalogue()["tanh"], rng)
    with pytest.raises(ValueError, match=f"k1 = {k1}, k2 = {k2}") as refused:
        truncated_bptt(trajectory, errors, k1, k2)
    assert "\n" not in str(refused.value)


def a_wrong_x(kernel, params, x, state0):
    kernel.forward(params, x[..., :2], state0)


def an_x_without_batch(kernel, params, x, state0):
    kernel.forward(params, x[:, 0], state0)


def a_missing_weight(kernel, params, x, state0):
    kernel.forward({k: v for k, v in params.items() if k != "W_f_y"}, x, state0)


def an_unknown_weight(kernel, params, x, state0):
    kernel.forward(params | {"W_q_y": params["W_f_y"]}, x, state0)


def a_weight_of_another_width(kernel, params, x, state0):
    kernel.forward(params | {"W_f_y": params["W_f_y"][:, :3]}, x, state0)


def a_bias_with_two_axes(kernel, params, x, state0):
    kernel.forward(params | {"b_f": params["b_f"][:, None]}, x, state0)


def a_state_of_another_length(kernel, params, x, state0):
    kernel.forward(params, x, state0 | {"s_prev": state0["s_prev"][:, :3]})


def a_state_of_another_batch(kernel, params, x, state0):
    kernel.forward(params, x, state0 | {"s_prev": np.repeat(state0["s_prev"], 3, axis=0)})


def a_state_of_unknown_name(kernel, params, x, state0):
    kernel.forward(params, x, {"s": state0["s_prev"]})


def errors_one_step_short(kernel, params, x, state0):
    bptt(kernel.forward(params, x, state0), np.zeros((STEPS - 1, 2, UNITS)))


def errors_without_batch(kernel, params, x, state0):
    rtrl(kernel.forward(params, x, state0), np.zeros((STEPS, UNITS)))


WRONG_SHAPES = [
    (a_wrong_x, ["x", "(9, 2, 2)", "(time, batch, 3)"]),
    (an_x_without_batch, ["x", "(9, 3)", "(time, batch, 3)"]),
    (a_missing_weight, ["W_f_y", "missing"]),
    (an_unknown_weight, ["W_q_y", "unknown"]),
    (a_weight_of_another_width, ["W_f_y", "(4, 3)"]),
    (a_bias_with_two_axes, ["b_f", "(4, 1)"]),
    (a_state_of_another_length, ["s_prev", "(2, 3)", "(2, 4)"]),
    (a_state_of_another_batch, ["s_prev", "(6, 4)", "(2, 4)"]),
    (a_state_of_unknown_name, ["s", "s_prev"]),
    (errors_one_step_short, ["y", "(8, 2, 4)", "(9, 2, 4)"]),
    (errors_without_batch, ["y", "(9, 4)", "(9, 2, 4)"]),
]


@pytest.mark.parametrize(("attempt", "words"), WRONG_SHAPES, ids=[row[0].__name__ for row in WRONG_SHAPES])
def test_wrong_shapes_are_one_clear_line(attempt, words, rng):
    trajectory, _ = a_run(catalogue()["lstm"], rng)
    with pytest.raises(ShapeError) as refused:
        attempt(trajectory.kernel, trajectory.params, trajectory.inputs["x"], trajectory.state0)
    message = str(refused.value)
    assert all(word in message for word in words) and "\n" not in message
