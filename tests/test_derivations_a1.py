"""Section 4 and appendix A.1: every claim is proved, for every t and block size; planted mistakes are refused."""

from pathlib import Path

import pytest
import sympy
from sympy import KroneckerDelta, Sum

from flowcheck.claims import ProofError, indices, last_term, load, one_unit, pick_terms, quantity

FOLDER = Path(__file__).parent.parent / "derivations"
S4, A1 = FOLDER / "s4_memory_cell.py", FOLDER / "a1_truncated_backprop.py"
CLAIMS = {claim.id: claim for claim in load(S4, A1)}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())
def test_proved(claim):
    claim.verify()
    assert claim.assumptions


def test_truncated_claims_say_so():
    for claim in CLAIMS.values():
        if claim.section == "A.1":
            assert any(words.startswith("truncation") for words in claim.assumptions) == (
                claim.status == "truncated" or claim.id in ("22 outputs", "24 cells"))


PLANTED = [  # file, as it stands, with a mistake, the claim that must fail
    (S4, "inputs = Sum(y_in(tau) * g(net_c(tau))", "inputs = Sum(y_in(tau - 1) * g(net_c(tau))", "4 sum of inputs"),
    (S4, "g(net_c(tau)), (tau, 1, t))", "g(net_c(tau)), (tau, 2, t))", "4 sum of inputs"),
    (S4, "s(t - 1) + y_in(t) * g(net_c(t)), forall", "s(t - 1) - y_in(t) * g(net_c(t)), forall", "4 sum of inputs"),
    (S4, "> 0\", y_c(t), y_out(t), in_exp", "> 0\", y_c(t), y_out(t) / 2, in_exp", "4 output from above"),
    (S4, "-y_c(t), y_out(t), in_exp", "-2 * y_c(t), y_out(t), in_exp", "4 output from below"),
    (S4, "2 * exp(-x), squashed", "exp(-x), squashed", "4 tail of h'"),
    (S4, "2 * exp(x), squashed", "2 * exp(2 * x), squashed", "4 left tail of h'"),
    (S4, "t * delta, s(t), ()", "(t + 1) * delta, s(t), ()", "4 drift"),
    (S4, "delta + rest(t)", "delta - rest(t)", "4 drift"),
    (S4, "out\", 2 * exp(-t * delta)", "out\", exp(-t * delta)", "4 drift closes the entry"),
    (A1, "w(output(k), u) * by(y(u, t - 1)), (u, 1, N)", "w(output(k), u) * by(y(u, t)), (u, 1, N)", "10 first line"),
    (A1, "case_of_10(output(k), y(m, t - 1))", "case_of_10(output(k), y(m, t))", "10 outputs"),
    (A1, "w(output(k), c) * by(y(c, t - 1), (c, m))", "w(output(k), c) * by(y(c, t), (c, m))", "10 cell"),
    (A1, "(receiver, m)), (v, 1, size(j)))", "(receiver, m)), (v, 2, size(j)))", "10 input gate"),
    (A1, "Sum(w(output(k), c) * by(y(c, t - 1)", "Sum(2 * w(output(k), c) * by(y(c, t - 1)", "10 output gate"),
    (A1, "w(output(k), hidden(i)) * by(", "-w(output(k), hidden(i)) * by(", "10 ordinary units"),
    (A1, "slope(hidden(i), t) * y(m, t - 1),", "slope(hidden(i), t) * y(m, t),", "11"),
    (A1, "KroneckerDelta(l, in_j) * sigma.slope(net(in_j, t))", "KroneckerDelta(l, in_j) * sigma(net(in_j, t))", "12"),
    (A1, "KroneckerDelta(l, out_j) * sigma.slope(net(out_j, t))",
     "KroneckerDelta(l, in_j) * sigma.slope(net(out_j, t))",
     "13"),
    (A1, "by(y(in_j, t)) * g(net(c, t)) + y(in_j, t)", "by(y(in_j, t)) * g(net(c, t - 1)) + y(in_j, t)",
     "14 first line"),
    (A1, "(d_in + d_c) * by(s(j, v, t - 1))", "d_in * d_c * by(s(j, v, t - 1))", "14"),
    (A1, "+ d_c * y(in_j, t) * g.slope(net(c, t))", "- d_c * y(in_j, t) * g.slope(net(c, t))", "14"),
    (A1, "d_c * Sum(by_cell(tau), (tau, 1, t))", "d_c * Sum(by_cell(tau), (tau, 1, t - 1))", "14 every step"),
    (A1, "by(y(out_j, t)) * h(s(j, v, t)) + h.slope", "by(y(out_j, t)) * h(s(j, v, t - 1)) + h.slope", "15 first line"),
    (A1, "+ (d_in + d_c) * h.slope(s(j, v, t)) * ds", "+ d_in * h.slope(s(j, v, t)) * ds", "15"),
    (A1, "2 * slope_k(p, t) * (target", "slope_k(p, t) * (target", "19"),
    (A1, "printed=eq_19.rhs / 2", "printed=eq_19.rhs", "19"),
    (A1, "slope(hidden(i), t) * from_outputs(hidden(i))", "slope(hidden(i), t - 1) * from_outputs(hidden(i))", "20"),
    (A1, "Sum(h(s(j, v, t)) * from_outputs(c)", "Sum(h.slope(s(j, v, t)) * from_outputs(c)", "21"),
    (A1, "alpha * e(out_j, t) * y(m, t - 1)", "alpha * e(out_j, t) * y(m, t)", "22"),
    (A1, "alpha * e(hidden(i), t) * y(m, t - 1)", "-alpha * e(hidden(i), t) * y(m, t - 1)", "22 ordinary units"),
    (A1, "alpha * e_k(p, t) * y(m, t), (", "alpha * e_k(p, t) * y(m, t - 1), (", "22 outputs"),
    (A1, "sigma(net(out_j, t)) * h.slope(s(j, v, t)) * from", "sigma(net(out_j, t)) * h.slope(s(j, v, t - 1)) * from",
     "23"),
    (A1, "Differentiate(eq_net_k, (w, y)), *earlier", "Differentiate(eq_net_k_now, (w, y)), *earlier",
     "23 times of A.1"),
    (A1, "-by(E(t), (in_j, m)), Sum(e_s", "by(E(t), (in_j, m)), Sum(e_s", "24"),
    (A1, "-by(E(t), (c, m)), e_s(j, v, t)", "-by(E(t), (c, m)), e_s(j, v, t - 1)", "24 cells"),
    (A1, "lambda t: g(net(c, t)) * sigma.slope(", "lambda t: g.slope(net(c, t)) * sigma.slope(", "25"),
    (A1, "lambda t: g(net(c, t)) * sigma.slope(net(in_j, t)) * y(m, t - 1)",
     "lambda t: g(net(c, t)) * sigma.slope(net(in_j, t)) * y(m, t)", "25 every step"),
    (A1, "change(in_j), alpha * Sum(e_s(j, v, t) * state_by(in_j, t)",
     "change(in_j), alpha * Sum(e_s(j, v, t) * state_by(in_j, t - 1)", "26"),
    (A1, "g.slope(net(c, t)) * sigma(net(in_j, t)) * y(m", "g.slope(net(c, t)) * sigma.slope(net(in_j, t)) * y(m",
     "27"),
    (A1, "Sum(term(tau), (tau, 1, t))", "Sum(term(tau), (tau, 1, t + 1))", "27 every step"),
    (A1, "change(c), alpha * e_s(j, v, t) * state_by(c, t)", "change(c), 2 * alpha * e_s(j, v, t) * state_by(c, t)",
     "28"),
    (A1, "K * (H + C * S) + H * I + C * I", "K * (H + C) + H * I + C * I", "29 steps"),
    (A1, "all_steps, 4 * W,", "all_steps, 3 * W,", "29"),
    (A1, "W, all_steps, (", "2 * W, all_steps, (", "29 at least W"),
    (A1, "in_short = 3 * (", "in_short = 2 * (", "29 weights"),
    (A1, "Sum(partial(net(x, t), y(u, t - 1)) * by", "Sum(w(x, u) * by", "25"),
    (A1, "s(j, v, 0), Integer(0), forall", "s(j, v, 0), y(in_j, 0), forall", "14 every step"),
]


@pytest.mark.parametrize("file, good, bad, id", PLANTED, ids=[f"{p[3]}-{k}" for k, p in enumerate(PLANTED)])
def test_planted_mistake_is_refused(tmp_path, file, good, bad, id):
    source = file.read_text()
    assert source.count(good) == 1, f"{good!r} stands {source.count(good)} times in {file.name}"
    planted = tmp_path / file.name
    planted.write_text(source.replace(good, bad))
    claim = {c.id: c for c in load(planted)}[id]
    with pytest.raises(ProofError, match=rf"^claim {id} "):
        claim.verify()


def test_every_claim_has_a_planted_mistake():
    assert {id for *_, id in PLANTED} == set(CLAIMS)


# The laws that these proofs use, against direct computation.

i, j, k, n, u, v = indices("i j k n u v")
f, size = quantity("f", "f_{{{0} {1}}}"), quantity("size", "S_{{{0}}}", integer=True, positive=True)


@pytest.mark.parametrize("high", [1, 2, 5])
def test_last_term_is_the_definition_of_the_sum(high):
    term = Sum(f(i, j), (i, 1, high))
    assert sympy.expand(last_term.rewrite(term).doit() - term.doit()) == 0
    assert last_term.rewrite(Sum(f(i, j), (i, 1, 0))) == 0


def test_deltas_pick_their_terms():
    assert pick_terms.rewrite(Sum(KroneckerDelta(i, u) * KroneckerDelta(j, u) * f(i, j), (i, 1, n), (j, 1, n))) == f(u,
                                                                                                                     u)
    of_blocks = Sum(KroneckerDelta(j, u) * f(i, j), (i, 1, size(j)), (j, 1, n))
    assert pick_terms.rewrite(of_blocks) == Sum(f(i, u), (i, 1, size(u)))
    partly = Sum(KroneckerDelta(i, u) * f(i, j) + f(i, i), (i, 1, n))
    assert pick_terms.rewrite(partly) == f(u, j) + Sum(f(i, i), (i, 1, n))
    for kept in (Sum(KroneckerDelta(i, u) * f(i, j), (i, 2, n)), Sum(KroneckerDelta(u, v) * f(i, j), (i, 1, n)),
                 Sum(KroneckerDelta(i, j) * f(i, j), (i, 1, n), (j, 1, k))):
        assert pick_terms.rewrite(kept) == kept


@pytest.mark.parametrize("values", [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2), (1, 2, 3)])
def test_one_unit_is_not_two(values):
    term = (KroneckerDelta(i, k) + f(1, 1)) * (KroneckerDelta(j, k) + KroneckerDelta(i, k) * f(1, 2))
    at = dict(zip((i, j, k), values))
    assert sympy.expand(one_unit.rewrite(term).subs(at) - term.subs(at)) == 0
