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
