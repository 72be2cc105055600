"""RTRL: equal to the complex step, however it shares out its work, and not to a backward pass with a planted mistake."""

import inspect

import numpy as np
import pytest

from flowcheck import bptt, catalogue, compile_cell, complex_step, rtrl, truncated_bptt
from flowcheck.compiled import compile_loops


def a_run(cell, rng, steps=9, batch=2, units=6, gain=1.0):
    kernel = compile_cell(cell)
    params = kernel.random_params(units, 3, rng, 2 if "blocks" in cell.sizes.values() else 1)
    run = kernel.forward({k: gain * v for k, v in params.items()}, rng.normal(size=(steps, batch, 3)))
    return run, rng.normal(size=run[cell.output.name].shape)


def by_loops(run):
    """The same trajectory, along which RTRL uses compiled loops, run as plain Python."""
    return compile_loops(run.kernel.cell, interpreted=True)._run(run)


def worst(run, found, expected):
    """Largest difference relative to the largest entry of all weights into the same net: a bias's own gradient may cancel over time."""
    nets, largest = {k: edge.net for k, edge in run.kernel.parameters.items()}, {}
    for k, v in expected.items():
        largest[nets[k]] = max(largest.get(nets[k], np.finfo(float).tiny), np.abs(v).max())
    return max(np.abs(found[k] - v).max() / largest[nets[k]] for k, v in expected.items())


def test_columns_and_steps_taken_a_few_at_a_time_change_nothing(rng, monkeypatch):
    run, errors = a_run(catalogue()["lstm"], rng)
    at_once = rtrl(run, errors).params
    for limit, small in {"_GROUP": 100, "_FEWEST": 1, "_CHUNK_BYTES": 2500, "_KEPT_BYTES": 0}.items():
        monkeypatch.setattr(f"flowcheck.sensitivity.{limit}", small)
    assert worst(run, rtrl(run, errors).params, at_once) < 1e-14


def test_errors_at_several_vectors(rng):
    run, errors = a_run(catalogue()["lstm"], rng)
    given = {"y": errors, "s": rng.normal(size=errors.shape), "net_f": rng.normal(size=errors.shape)}
    assert worst(run, rtrl(run, given).params, bptt(run, given).params) < 1e-13


def test_the_complex_step_agrees_after_thirty_contracting_steps(rng):
    """A gradient of 1e-9 and less, where a check with an absolute tolerance sees nothing."""
    run, errors = a_run(catalogue()["tanh"], rng, steps=30, batch=1, gain=0.3)
    errors[:-1] = 0.0
    early = {**run.params}
    found = rtrl(run, errors).params

    def loss(params):
        return np.array((run.kernel.forward(params, run.inputs)["y"][-1] * errors[-1]).sum())

    for name in early:
        direction = {k: (rng.normal(size=v.shape) if k == name else np.zeros(v.shape)) for k, v in early.items()}
        expected = float(complex_step(loss, early, direction))
        assert np.vdot(found[name], direction[name]) == pytest.approx(expected, rel=1e-12)


def test_loops_are_bptt(cell, rng):
    run, errors = a_run(cell, rng, steps=4, batch=1)
    assert worst(run, rtrl(by_loops(run), errors).params, bptt(run, errors).params) < 1e-13


def test_loops_with_errors_anywhere_and_a_few_panels_and_steps_at_a_time(rng, monkeypatch):
    run, errors = a_run(catalogue()["lstm"], rng)
    given = {"y": errors, "s": rng.normal(size=errors.shape), "net_f": rng.normal(size=errors.shape)}
    expected = bptt(run, given).params
    assert worst(run, rtrl(by_loops(run), given).params, expected) < 1e-13
    for limit, small in {"sensitivity._CHUNK_BYTES": 2500, "sensitivity._KEPT_BYTES": 0, "compiled.sensitivity._GROUP_BYTES": 1}.items():
        monkeypatch.setattr(f"flowcheck.{limit}", small)
    assert worst(run, rtrl(by_loops(run), given).params, expected) < 1e-13


@pytest.mark.parametrize("argument, change", [
    ("matrices", lambda a: 1.001 * a), ("values", lambda a: 1.001 * a), ("slopes", lambda a: 1.001 * a), ("sources", lambda a: 1.001 * a),
    ("steps", lambda n: n - 1)], ids=["products", "diagonals", "slopes", "sources", "a step"])
def test_a_planted_mistake_in_the_loops_shows(argument, change, rng, monkeypatch):
    run, errors = a_run(catalogue()["lstm"], rng, batch=1)
    wrong = by_loops(run)
    loops = wrong.loops.sensitivities
    right, place = loops.loop, list(inspect.signature(loops.loop).parameters).index(argument)
    monkeypatch.setattr(loops, "loop", lambda *given: right(*given[:place], change(given[place]), *given[place + 1:]))
    assert worst(run, rtrl(wrong, errors).params, bptt(run, errors).params) > 1e-6


@pytest.mark.parametrize("mistake", ["carry", "slope", "window"])
def test_a_wrong_backward_pass_is_seen(mistake, rng):
    run, errors = a_run(catalogue()["lstm"], rng, steps=20, gain=0.7)
    right = rtrl(run, errors).params
    if mistake == "carry":
        wrong = bptt(run, errors, ["net_f<-y_prev"]).params
    elif mistake == "slope":
        other = a_run(catalogue()["lstm"], np.random.default_rng(0), steps=20, gain=0.7)[0]
        other.__dict__.update(run.__dict__)
        other.__dict__["partials"] = run.partials | {("y_f", "net_f"): 1.001 * run.partials["y_f", "net_f"]}
        wrong = bptt(other, errors).params
    else:
        wrong = truncated_bptt(run, errors, 1, 19).params
    assert worst(run, wrong, right) > 1e-6
