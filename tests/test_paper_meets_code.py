"""Claims that name a quantity, against an oracle of its own: plain NumPy forward passes and the complex step, no code of the package.

The package's own numbers are compared with the same formulas by `flowcheck verify`; both per lag, relative to the size at that lag.
"""

from dataclasses import replace

import numpy as np
import pytest
from claims_of_paper import CLAIMS

from flowcheck import catalogue
from flowcheck.claims import Check, GradientCheck, ValueCheck
from flowcheck.verify.certified import certify
from flowcheck.verify.paper import check_claim
from flowcheck.verify.result import Check as Result
from flowcheck.verify.result import Mismatch

STEP = 2.0**-300
STEPS, INPUTS, UNITS, BLOCKS = 14, 3, 4, 2
TOLERANCE = 1e-11  # a dozen products of 4 x 4 matrices in another order


def sigma(z):
    return 1 / (1 + np.exp(-z))


def h(z):
    return 2 / (1 + np.exp(-z)) - 1


def g(z):
    return 4 / (1 + np.exp(-z)) - 2


class Net:
    """A forward pass as in the paper. `run` may move one entry of a vector or weight by i STEP, and hold what units read of t-1."""

    def __init__(self, cell, rng):
        self.cell = cell
        n, b, lengths = UNITS, BLOCKS, {"y": UNITS, "y_in": BLOCKS, "y_out": BLOCKS, "x": INPUTS}
        self.x = rng.normal(size=(STEPS, INPUTS))
        if cell == "lstm1997":
            self.params = {f"W_{role}_{source}": rng.normal(size=(size, lengths[source])) * 0.6
                           for role, size in (("in", b), ("out", b), ("c", n)) for source in lengths}
            self.params |= {f"b_{role}": rng.normal(size=size) for role, size in (("in", b), ("out", b), ("c", n))}
        else:
            recurrent = {} if cell == "carousel" else {"W_y": rng.normal(size=(n, n))}
            self.params = recurrent | {"W_x": rng.normal(size=(n, INPUTS)), "b": rng.normal(size=n)}

    def run(self, moved=None, params=None, held=None):
        """{vector: (STEPS, size)}; moved is (vector, step, unit)."""
        p, rows = params or self.params, []
        for t in range(STEPS):
            now = {}

            def put(name, value):
                if moved and moved[:2] == (name, t):
                    value = value + 1j * STEP * np.eye(len(value))[moved[2]]
                now[name] = value
                return value

            before = (held or rows)[t - 1] if t else {}
            getattr(self, f"_{self.cell}")(p, self.x[t], before, rows[-1] if rows else {}, put)
            rows.append(now)
        return rows

    def _lstm1997(self, p, x, before, state, put):
        read = {"x": x, "y": before.get("y", np.zeros(UNITS)), "y_in": before.get("y_in", np.zeros(BLOCKS)),
                "y_out": before.get("y_out", np.zeros(BLOCKS))}
        net = {r: put(f"net_{r}", sum(p[f"W_{r}_{s}"] @ v for s, v in read.items()) + p[f"b_{r}"]) for r in ("in", "out", "c")}
        y_in, y_out = put("y_in", sigma(net["in"])), put("y_out", sigma(net["out"]))
        s = put("s", state.get("s", np.zeros(UNITS)) + np.repeat(y_in, UNITS // BLOCKS) * g(net["c"]))
        put("y", np.repeat(y_out, UNITS // BLOCKS) * h(s))

    def _fully_recurrent(self, f, p, x, before, put):
        put("y", f(put("net", p["W_x"] @ x + p["W_y"] @ before.get("y", np.zeros(UNITS)) + p["b"])))

    def _conventional(self, p, x, before, state, put):
        self._fully_recurrent(sigma, p, x, before, put)

    def _tanh(self, p, x, before, state, put):
        self._fully_recurrent(np.tanh, p, x, before, put)

    def _carousel(self, p, x, before, state, put):
        put("s", state.get("s", np.zeros(UNITS)) + put("net", p["W_x"] @ x + p["b"]))

    def values(self):
        """What a claim's formula reads."""
        rows = self.run()
        return {name: np.array([row[name] for row in rows]) for name in rows[0]} | {"x": self.x} | self.params


def oracle(net, numeric, q=None, errors=None):
    """What the formula claims, by complex step."""
    held = net.run() if numeric.truncated else None
    if isinstance(numeric, Check):
        size = len(net.run()[0][numeric.receiver])
        columns = [net.run((numeric.receiver, STEPS - 1 - q, k), held=held)[-1][numeric.sender].imag / STEP for k in range(size)]
        return np.array(columns).T
    weight, found = net.params[numeric.parameter], np.zeros(net.params[numeric.parameter].shape)
    for place in np.ndindex(found.shape):
        moved = weight.astype(complex)
        moved[place] += 1j * STEP
        found[place] = errors @ net.run(params=net.params | {numeric.parameter: moved}, held=held)[-1][numeric.sender].imag / STEP
    return found


MET = [pytest.param(claim, numeric, id=f"{claim.id}-{k}") for claim in CLAIMS.values() for k, numeric in enumerate(claim.checks)]


@pytest.mark.parametrize("claim, numeric", MET)
def test_the_formula_is_the_derivative(claim, numeric, rng):
    net = Net(numeric.cell, rng)
    values = net.values()
    if isinstance(numeric, ValueCheck):
        pairs = [(numeric.evaluate(values), values[numeric.vector][-1])]
    elif isinstance(numeric, GradientCheck):
        errors = rng.normal(size=values[numeric.sender].shape[1])
        pairs = [(numeric.evaluate(values, errors), oracle(net, numeric, errors=errors))]
    else:
        lags = [q for q in numeric.lags if q <= (4 if claim.id == "2" else 12)][::3] or [numeric.lags[0]]
        pairs = [(numeric.evaluate(values, q), oracle(net, numeric, q)) for q in lags]
    for claimed, exact in pairs:
        if numeric.relation == "<=":
            assert np.log10(np.abs(exact).max()) <= claimed
        else:
            np.testing.assert_allclose(claimed, exact, rtol=0, atol=TOLERANCE * np.abs(exact).max())


WITHOUT = {  # definitions that name no quantity of the package's cells
    "4 start": "0 by construction", "9 start": "0 by construction", "16": "the error of a task", "17": "a learning rule",
    "18": "a name for a derivative", "18 outputs": "a name for a derivative", "9 outputs, net input": "a read-out",
    "9 outputs": "a read-out", "9 truncation": "a rule; what is left by it meets the code",
}


def test_every_definition_meets_the_code_or_says_why_not():
    assert {c.id for c in CLAIMS.values() if c.status == "definition" and not c.checks} == set(WITHOUT)


def test_verify_compares_with_the_packages_numbers_and_sees_a_mistake():
    cells = catalogue()
    for id in ("40", "15", "9"):
        claim = CLAIMS[id]
        good = check_claim(claim, cells)
        assert {c.verdict for c in good} == {"pass"} and len(good) == 1 + len(claim.checks)
        for k, numeric in enumerate(claim.checks):
            wrong = replace(numeric, evaluate=lambda *a, numeric=numeric: numeric.evaluate(*a) * (1 + 1e-8))
            found = check_claim(replace(claim, checks=(wrong,)), cells)[-1]
            assert found.verdict == "fail" and found.rung == "paper-meets-code", f"{id}, check {k}"


# Inequalities: sought on tight nets.


@pytest.mark.parametrize("id, at_least, wrong", [
    ("3.1 bound without n", 0.9, 0.9), ("3.1 tau over n", 0.7, 0.7), ("3.1 singular values, (7)", 0.99, 0.99),
])
def test_a_bound_is_nearly_reached_and_a_tighter_one_is_violated_where_it_is_sought(id, at_least, wrong):
    claim, cells = CLAIMS[id], catalogue()
    numeric = claim.checks[0]
    found = check_claim(claim, cells)[-1]
    assert found.verdict == "pass" and at_least < found.error <= 1 and "by search" in found.words
    below = replace(numeric, evaluate=lambda values, q: numeric.evaluate(values, q) + np.log10(wrong))
    refused = check_claim(replace(claim, checks=(below,)), cells)[-1]
    assert refused.verdict == "fail" and "found by optimisation" in refused.words, "random nets do not see it"


# In balls.


@pytest.mark.parametrize("id", ["1", "41", "25 every step", "9 output"])
def test_claims_in_balls_have_a_rigorous_bound(id):
    flint = pytest.importorskip("flint", reason="python-flint is the extra `certified`")
    cells, claim = catalogue(), CLAIMS[id]
    certified = [c for c in check_claim(claim, cells, certified=True) if c.rung == "certified"]
    assert len(certified) == len(claim.checks)
    assert {c.verdict for c in certified} == {"pass"} and max(c.error for c in certified) < 1e-30
    wrong = replace(claim.checks[0], evaluate=lambda *a: claim.checks[0].evaluate(*a) * (1 + flint.arb(2) ** -70))
    with pytest.raises(Mismatch, match="rigorous"):
        certify(Result("x/code", "x", "pass"), wrong, cells[wrong.cell])


def test_without_flint_a_certified_check_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "flint", None)
    found = [c for c in check_claim(CLAIMS["40"], catalogue(), certified=True) if c.rung == "certified"]
    assert [c.verdict for c in found] == ["inconclusive"] and "flowcheck-rnn[certified]" in found[0].words
