"""Rigorous bounds settle what rounding leaves open: saturated nets, where 1 - y^2 of a rounded y may lose every digit."""

from types import SimpleNamespace

import numpy as np
import pytest
import sympy
from test_check_gradient import lstm_backward, lstm_forward, lstm_problem, quiet_problem, rnn_backward, rnn_forward

from flowcheck import verify_gradient
from flowcheck.cells import get
from flowcheck.oracles import NotTrusted, complex_step
from flowcheck.verify.arguments import Arguments, Functions
from flowcheck.verify.enclosure import Enclosure, _formula
from flowcheck.verify.matching import match_forward

pytest.importorskip("flint", reason="python-flint is not installed")


def saturated(backward=rnn_backward, problem=(25.0, 30, 3), certified=True, cell="tanh"):
    """A net in which the bound on rounding, which is random, exceeds the mistake or not from seed to seed; with this seed it does."""
    return verify_gradient(rnn_forward, backward, *quiet_problem(*problem), cell=cell, hard=False, smallest=False, certified=certified,
                           seed=9)


def test_a_right_backward_pass_that_rounding_leaves_open_is_certified():
    assert saturated(certified=False).verdict == "inconclusive"
    verification = saturated()
    assert verification.verdict == "pass", str(verification)
    assert "a rigorous bound" in str(verification) and max(verification.detectable["x"].values()) < 0.1


def test_a_mistake_that_rounding_could_explain_is_settled():
    def wrong(params, inputs, state0, grad_outputs):
        grads = rnn_backward(params, inputs, state0, grad_outputs)
        grads["x"][-4] *= 1.03
        return grads

    assert saturated(wrong, (26.0, 30, 3), certified=False).verdict == "inconclusive"
    verification = saturated(wrong, (26.0, 30, 3))
    assert verification.verdict == "fail" and verification.findings[0].entry == "x", str(verification)
    assert "provably off" in str(verification)


def test_where_rounded_slopes_leave_a_tenth_open_there_is_still_no_verdict():
    verification = saturated(problem=(40.0, 30, 1))
    assert verification.verdict == "inconclusive" and "what could be decided" in str(verification)
    open_lags = verification.findings[0]
    assert open_lags.entry == "x" and not set(range(11, 30)) <= set(verification.detectable["x"])


@pytest.mark.parametrize("formula", [sympy.Max(0, sympy.Symbol("z")), sympy.sqrt(sympy.Symbol("z"))], ids=["no-balls", "plain-numbers"])
def test_a_formula_without_ball_arithmetic_is_not_trusted(formula):
    import flint

    unit = SimpleNamespace(reads=[sympy.Symbol("z")], formula=formula, out="y")
    with pytest.raises(NotTrusted, match="the formula of y has no ball arithmetic"):
        _formula(unit)(flint.arb(2) if formula.is_Pow else flint.arb_series([flint.arb(1), 1]))


def test_without_a_cell_nothing_is_certified_and_it_says_so():
    assert any("takes a known cell" in note for note in saturated(cell=None).notes)


@pytest.mark.parametrize("group", ["W", "x", "h0", "c0"])
def test_the_balls_hold_the_complex_step_derivative(group):
    forward = lambda *a: {"out": lstm_forward(*a)["out"]}  # noqa: E731
    params, inputs, state0 = problem = lstm_problem(0.9, 6, seed=4)
    functions = Functions(forward, lstm_backward, 1)
    arguments = Arguments.read(*problem, 1)
    y = functions.outputs(arguments)
    match = match_forward(functions, arguments, y, (get("lstm"),))
    rng = np.random.default_rng(0)
    errors = {"out": rng.normal(size=y["out"].shape)}
    balls = Enclosure(match, arguments, errors).exact[group]
    v = rng.normal(size=balls.shape)
    along = complex_step(lambda a: forward(*(g | ({group: a[group]} if group in g else {}) for g in problem)),
                         {group: arguments.values()[group]}, {group: v})
    expected = float(np.sum(errors["out"] * along["out"]))
    got = sum(float(a) * float(b.mid()) for a, b in zip(v.ravel(), balls.ravel(), strict=True))
    assert got == pytest.approx(expected, rel=1e-12)
    assert all(float(b.rad()) <= 1e-12 * abs(expected) for b in balls.ravel())
