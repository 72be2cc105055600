"""Which array of a stranger's forward pass is which weights: under any names, in any order, with given states or from zero ones."""

import numpy as np
import pytest

from flowcheck import bptt, catalogue, compile_cell, verify_gradient
from flowcheck.verify.arguments import Arguments, Functions
from flowcheck.verify.matching import match_forward

STEPS = 5


def a_net(name, rng, *, entries, renamed=True, block_size=1, units=4):
    """(forward, backward, params, inputs, state0, {name there: parameter of the cell}) of a cell under names that say nothing."""
    kernel = compile_cell(catalogue()[name])
    own = kernel.random_params(units, 3, rng, block_size)
    shuffled = [f"p{k}" for k in rng.permutation(len(own))] if renamed else list(own)
    theirs = dict(zip(shuffled, own, strict=True))
    lengths, output = kernel.lengths(own), kernel.cell.output.name
    state0 = {f"start_{old}": rng.normal(size=(1, lengths[kernel.cell.sizes[old]])) for old in kernel.states} if entries else {}

    def run(params, inputs, state0):
        return kernel.forward({theirs[n]: w for n, w in params.items()}, inputs["x"], {n[6:]: s for n, s in state0.items()})

    def forward(params, inputs, state0):
        return {"out": run(params, inputs, state0)[output]}

    def backward(params, inputs, state0, grad_outputs):
        found = bptt(run(params, inputs, state0), grad_outputs["out"])
        starts = {f"start_{old}": g for old, g in found.state0.items()} if entries else {}
        return {n: found.params[theirs[n]] for n in params} | found.inputs | starts

    params = {n: own[theirs[n]] + 0.5 * rng.normal(size=own[theirs[n]].shape) for n in shuffled}
    return forward, backward, params, {"x": rng.normal(size=(STEPS, 1, 3))}, state0, theirs


def found(name, net):
    """{entry: parameter of the cell} of the match, None where there is none."""
    forward, backward, params, inputs, state0, _ = net
    functions, arguments = Functions(forward, backward, 0), Arguments.read(params, inputs, state0, 0)
    match = match_forward(functions, arguments, functions.outputs(arguments), (catalogue()[name],))
    return match and {block.entry: param for block, param in match.blocks}


@pytest.mark.parametrize("entries", [True, False], ids=["states given", "zero at the start"])
@pytest.mark.parametrize("name", ["lstm", "gru", "indrnn", "lstm_peephole"])
def test_arrays_of_any_names_are_found(name, entries, rng):
    net = a_net(name, rng, entries=entries)
    assert found(name, net) == net[-1]


@pytest.mark.parametrize("entries", [True, False], ids=["states given", "zero at the start"])
@pytest.mark.parametrize("units", [1, 4])
def test_a_weight_with_its_bias_as_a_column_is_found(units, entries, rng):
    """Of one unit, such a weight is a row, and no bias all the same."""
    forward, backward, own, inputs, state0, theirs = a_net("lstm", rng, entries=entries, renamed=False, units=units)
    gates = sorted({n.split("_")[1] for n in own})

    def split(fused):
        parts = {"W_{}_x": slice(0, 3), "W_{}_y": slice(3, -1), "b_{}": -1}
        return {name.format(gate): w[:, columns] for gate, w in fused.items() for name, columns in parts.items()}

    def fuse(own):
        return {gate: np.column_stack([own[f"W_{gate}_x"], own[f"W_{gate}_y"], own[f"b_{gate}"]]) for gate in gates}

    def fused_forward(params, inputs, state0):
        return forward(split(params), inputs, state0)

    def fused_backward(params, inputs, state0, grad_outputs):
        grads = backward(split(params), inputs, state0, grad_outputs)
        return {n: g for n, g in grads.items() if n not in own} | fuse(grads)

    match = found("lstm", (fused_forward, fused_backward, fuse(own), inputs, state0, theirs))
    assert {gate: param.split("_")[1] for gate, param in match.items()} == {gate: gate for gate in gates}


@pytest.mark.parametrize("block_size", [1, 2])
def test_names_tell_what_shapes_do_not(block_size, rng):
    """With three kinds of previous vectors of one length, none of them an entry, nothing but names tells their weights apart in time."""
    net = a_net("lstm1997", rng, entries=False, renamed=False, block_size=block_size)
    assert found("lstm1997", net) == net[-1]


@pytest.mark.parametrize("name, other", [("lstm", "lstm_peephole"), ("gru", "gru_reset_before"), ("lstm_peephole", "lstm")])
def test_another_cell_is_not_found(name, other, rng):
    assert found(other, a_net(name, rng, entries=False)) is None
    assert found(other, a_net(name, rng, entries=True)) is None


def test_names_alone_are_not_believed(rng):
    forward, backward, params, inputs, state0, theirs = a_net("lstm", rng, entries=False, renamed=False)

    def swapped(params, inputs, state0):
        return forward(params | {"W_in_y": params["W_out_y"], "W_out_y": params["W_in_y"]}, inputs, state0)

    given = found("lstm", (swapped, backward, params, inputs, state0, theirs))
    assert given == theirs | {"W_in_y": "W_out_y", "W_out_y": "W_in_y"}


def test_the_wrong_term_of_a_net_that_starts_at_zero_is_named(rng):
    forward, backward, params, inputs, state0, theirs = a_net("lstm", rng, entries=False)
    mine = {param: n for n, param in theirs.items()}

    def wrong(params, inputs, state0, grad_outputs):
        grads = backward(params, inputs, state0, grad_outputs)
        return grads | {mine["W_f_y"]: -grads[mine["W_f_y"]]}

    verification = verify_gradient(forward, wrong, params, inputs, state0, time_axis=0, cell="lstm")
    assert verification.verdict == "fail"
    hypotheses = next(f.hypotheses for f in verification.findings if f.hypotheses)
    assert hypotheses == (f"dE/d{mine['W_f_y']}: has the wrong sign",)


def test_a_failed_check_says_how_the_term_is_named_and_names_it(rng):
    forward, backward, params, inputs, state0, _ = a_net("gru", rng, entries=True, renamed=False)

    def wrong(params, inputs, state0, grad_outputs):
        grads = backward(params, inputs, state0, grad_outputs)
        return grads | {"b_n": -grads["b_n"]}

    hint = "cell=True names the wrong term"
    without = verify_gradient(forward, wrong, params, inputs, state0, time_axis=0)
    assert any(hint in note for note in without.notes) and not any(f.hypotheses for f in without.findings)
    known = verify_gradient(forward, wrong, params, inputs, state0, time_axis=0, cell="gru")
    assert not any(hint in note for note in known.notes) and any(f.hypotheses for f in known.findings)
    assert "note: forward computes gru: each array has the name of the weights that it is" in str(known)
    right = verify_gradient(forward, backward, params, inputs, state0, time_axis=0)
    assert right.verdict == "pass" and not any(hint in note for note in right.notes)


def an_lstm_by_hand(mistake):
    """forward and backward of an LSTM as people write it, gates i, f, g, o in one array; with a mistake as people make it."""
    def logistic(z):
        return 1 / (1 + np.exp(-z))

    def run(params, inputs):
        steps, n = [], params["U"].shape[1]
        h = c = np.zeros((inputs["x"].shape[1], n))
        for x in inputs["x"]:
            i, f, g, o = np.split(x @ params["W"].T + h @ params["U"].T + params["b"], 4, axis=1)
            i, f, g, o = logistic(i), logistic(f), np.tanh(g), logistic(o)
            steps.append([x, h, c, i, f, g, o, f * c + i * g])
            c = steps[-1][-1]
            h = o * np.tanh(c)
            steps[-1].append(h)
        return steps

    def forward(params, inputs, state0):
        return {"h": np.array([step[-1] for step in run(params, inputs)])}

    def backward(params, inputs, state0, grad_outputs):
        grads, dh, dc = {k: np.zeros_like(v) for d in (params, inputs) for k, v in d.items()}, 0.0, 0.0
        for t, (x, before, c0, i, f, g, o, c, _) in reversed(list(enumerate(run(params, inputs)))):
            dh = grad_outputs["h"][t] + dh
            dc = dc + dh * o * (1 - np.tanh(c) ** 2)
            dz = np.concatenate([dc * g * i * (1 - i), dc * c0 * f * (1 - f), dc * i * (1 - g**2), dh * np.tanh(c) * o * (1 - o)], axis=1)
            grads["x"][t], dh = dz @ params["W"], dz @ params["U"]
            grads["W"], grads["U"], grads["b"] = grads["W"] + dz.T @ x, grads["U"] + dz.T @ before, grads["b"] + dz.sum(axis=0)
            dc = dc if mistake == "dc without f" else dc * f
        factor = {"all divided by the batch": 1 / 3, "all divided by the steps": 1 / 6}.get(mistake, 1.0)
        if mistake == "weights times the batch":
            return {k: v if k == "x" else v * 3 for k, v in grads.items()}
        return {k: factor * v for k, v in grads.items()}

    return forward, backward


@pytest.mark.parametrize(("mistake", "named"), [
    ("none", None), ("dc without f", "d s / d s_prev: the factor y_f is missing"),
    ("all divided by the batch", "the whole gradient: is 0.3333 times what it should be"),
    ("all divided by the steps", "the whole gradient: is 0.1667 times what it should be"),
    ("weights times the batch", "all dE/dW: is 3 times what it should be")])
def test_mistakes_of_a_backward_written_by_hand_are_named(mistake, named, rng):
    forward, backward = an_lstm_by_hand(mistake)
    params = {"W": rng.normal(size=(16, 3)), "U": 0.5 * rng.normal(size=(16, 4)), "b": rng.normal(size=16)}
    verification = verify_gradient(forward, backward, params, {"x": rng.normal(size=(6, 3, 3))}, cell=True)
    assert verification.verdict == ("pass" if named is None else "fail")
    assert [f.hypotheses for f in verification.findings if f.hypotheses][:1] == ([] if named is None else [(named,)])


@pytest.mark.parametrize("starts", [1.0, 1 / 3], ids=["initial states right", "all"])
def test_a_factor_is_of_the_whole_gradient_only_where_initial_states_have_it(starts, rng):
    forward, backward, params, inputs, state0, _ = a_net("gru", rng, entries=True)

    def wrong(*given):
        return {n: g * (starts if n.startswith("start_") else 1 / 3) for n, g in backward(*given).items()}

    verification = verify_gradient(forward, wrong, params, inputs, state0, time_axis=0, cell="gru")
    assert verification.verdict == "fail"
    assert any("the whole gradient" in h for f in verification.findings for h in f.hypotheses) == (starts != 1.0)
