"""The follow-ups of 1997 in derivations/: proved; planted mistakes refused; both sides of every claim equal on nets in plain loops."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
import sympy
from claims_of_paper import EVERY_CLAIM, FOLDER
from followup_nets import (
    cascade,
    elman,
    gers_2000,
    gers_2002,
    greff,
    lyapunov,
    mozer,
    narx,
    recurrent,
    rtrl_in_loops,
    time_delays,
    weights,
    window_pass,
)
from plain_nets import number
from sympy import Integer, KroneckerDelta, Product, Sum

from flowcheck import Cell, Net, Unit, flow, gradients, rtrl
from flowcheck.cells import catalogue, get
from flowcheck.claims import Given, Induction, Proof, ProofError, Step, indices, lag, load, quantity, same_unit, split_at
from flowcheck.jacobian import StepJacobian
from flowcheck.kernels import compile_cell
from flowcheck.notation import sigma, symbols, tanh
from flowcheck.step import Step as LinearisedStep
from flowcheck.verify import paper
from flowcheck.verify.certified import certify
from flowcheck.verify.ladder import make_problem
from flowcheck.verify.paper import check_claim
from flowcheck.verify.result import Check as Result
from flowcheck.verify.result import Mismatch

FILES = {name: FOLDER / f"{name}.py" for name in (
    "gers2000_forget_gate", "gers2002_peepholes", "greff2017_lstm_variants", "williams1989_rtrl", "elman1990_training",
    "williams1990_truncated_bptt", "mozer1992_time_constants", "fahlman1991_cascade_correlation", "waibel1989_time_delays",
    "lin1996_narx", "benettin1980_lyapunov")}
OF_FILE = {name: {id: claim for id, claim in EVERY_CLAIM.items() if claim.source == str(path)} for name, path in FILES.items()}
CLAIMS = {id: claim for claims in OF_FILE.values() for id, claim in claims.items()}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())
def test_proved(claim):
    claim.verify()


PLANTED = [  # file, as it stands, with a mistake, the claim that must fail
    ("gers2000", "Product(y(phi_j, t + k), (k, 1, q))", "Product(y(phi_j, t + k - 1), (k, 1, q))", "Gers 2000 flow"),
    ("gers2000", "Product(y(phi_j, t + k), (k, 1, q))", "Product(y(in_j, t + k), (k, 1, q))", "Gers 2000 flow"),
    ("gers2000", "Product(y(phi_j, t + k), (k, 1, q))", "Product(y(phi_j, t + k), (k, 1, q - 1))", "Gers 2000 flow"),
    ("gers2000", "y(phi_j, t) * s(j, v, t - 1) + y(in_j, t)", "y(phi_j, t) * s(j, v, t - 1) - y(in_j, t)", "Gers 2000 cell weights"),
    ("gers2000", "s(j, v, t - 1) * sigma.slope(net(phi_j, t)) * y(m", "s(j, v, t) * sigma.slope(net(phi_j, t)) * y(m",
     "Gers 2000 forget gate weights"),
    ("gers2000", "g(net(c, t)) * sigma.slope(net(in_j, t)) * y(m, t - 1)", "g(net(c, t)) * sigma.slope(net(in_j, t)) * y(m, t)",
     "Gers 2000 input gate weights"),
    ("gers2000", "partial(net(l, t), y(u, t - 1)), Integer(0),", "partial(net(l, t), y(u, t - 1)), w(l, u),", "Gers 2000 flow"),
    ("gers2000", "forall=(j, v, t, q), relation=\"<=\"", "forall=(j, v, t, q), relation=\"<\"", "Gers 2000 decay"),
    ("gers2000", "y(phi_j, t + p), Integer(0))", "y(phi_j, t + p + 1), Integer(0))", "Gers 2000 closed"),
    ("gers2000", "y(phi_j, r), Integer(1), forall=(j, r))", "y(phi_j, r), Integer(2), forall=(j, r))", "Gers 2000 carousel"),
    ("gers2002", "s(v, t - 1) * sigma.slope(net_phi(t)) * p_phi(x)", "s(v, t) * sigma.slope(net_phi(t)) * p_phi(x)", "Gers 2002 one step"),
    ("gers2002", "s(v, t - 1) * sigma.slope(net_phi(t)) * p_phi(x)", "s(v, t - 1) * sigma.slope(net_phi(t)) * p_phi(v)",
     "Gers 2002 one step"),
    ("gers2002", "factor(b, a, t + m)", "factor(a, b, t + m)", "Gers 2002 paths"),
    ("gers2002", "factor(b, a, t + m)", "factor(b, a, t + m - 1)", "Gers 2002 paths"),
    ("gers2002", "KroneckerDelta(v, x) * Product(y_phi(t + m)", "Product(y_phi(t + m)", "Gers 2002 flow"),
    ("gers2002", "g(net_c(v, t)) * sigma.slope(net_in(t)) * s(x, t - 1))", "g(net_c(v, t)) * sigma.slope(net_in(t)) * s(v, t - 1))",
     "Gers 2002 into in"),
    ("gers2002", "s(v, t - 1) * sigma.slope(net_phi(t)) * s(x, t - 1))", "s(v, t - 1) * sigma.slope(net_phi(t)) * s(x, t))",
     "Gers 2002 into phi"),
    ("gers2002", "Sum(s(v, t) * e(v, t), (v, 1, S))", "Sum(s(v, t - 1) * e(v, t), (v, 1, S))", "Gers 2002 delta out"),
    ("gers2002", "alpha * delta_out(t) * s(x, t)", "alpha * delta_out(t) * s(x, t - 1)", "Gers 2002 into out"),
    ("gers2002", "sigma.slope(net(r)), Integer(0), forall", "sigma.slope(net(r)), Integer(1), forall", "Gers 2002 saturated"),
    ("greff", 'gate_errors = {"o": d_y(i, t) * h', 'gate_errors = {"o": d_c(i, t) * h', "Greff vanilla do"),
    ("greff", '"f": d_c(i, t) * c(i, t - 1)', '"f": d_c(i, t) * c(i, t)', "Greff vanilla df"),
    ("greff", '(("o", 0), ("i", 1), ("f", 1))', '(("o", 1), ("i", 1), ("f", 1))', "Greff vanilla dc"),
    ("greff", '(("o", 0), ("i", 1), ("f", 1))', '(("o", 0), ("i", 1))', "Greff NIG dc"),
    ("greff", "Sum(weights[gate](k, i) * d_bar", "Sum(weights[gate](i, k) * d_bar", "Greff vanilla dy"),
    ("greff", "d_c(i, t + 1) * forget_next", "d_c(i, t + 1) * act['f'](i, t)", "Greff vanilla dc"),
    ("greff", "z - c(i, t - 1) if variant", "z + c(i, t - 1) if variant", "Greff CIFG di"),
    ("greff", '1 - act["i"](i, t + 1) if variant', '1 + act["i"](i, t + 1) if variant', "Greff CIFG dc"),
    ("greff", "Sum(RG[to, gate](k, i)", "Sum(RG[gate, to](k, i)", "Greff FGR di"),
    ("greff", 'd_bar["z"]: d_c(i, t) * in_gate', 'd_bar["z"]: 2 * d_c(i, t) * in_gate', "Greff NIAF dz"),
    ("greff", '(c_t, 1) if variant == "NOAF"', '(c_t, 2) if variant == "NOAF"', "Greff NOAF dc"),
    ("greff", 'c(i, t) if gate == "o" else c(i, t - 1), i)', "c(i, t - 1), i)", "Greff vanilla p_o"),
    ("greff", "gradient(gate, R[gate], y(j, t - 1), i, j)", "gradient(gate, R[gate], y(j, t), i, j)", "Greff vanilla R_z"),
    ("greff", "back(W, present, 0)", "back(W, present)", "Greff vanilla dx"),
    ("williams1989", "KroneckerDelta(k, i) * source(j, t))", "KroneckerDelta(k, i) * source(j, t + 1))", "RTRL recursion"),
    ("williams1989", "slope(k, t) * (Sum(w(k, a)", "slope(k, t) * (Sum(w(a, k)", "RTRL inputs"),
    ("williams1989", "slope(i, tau - 1) * y(j, tau - 1), (tau, 1, t))\nover", "slope(i, tau) * y(j, tau - 1), (tau, 1, t))\nover",
     "RTRL closed form"),
    ("williams1989", "Sum(theta(i, tau - 1, t) * y", "Sum(theta(i, tau, t) * y", "RTRL is BPTT"),
    ("williams1989", "rtrl = Sum(e(k, t) * p(k, t)", "rtrl = -Sum(e(k, t) * p(k, t)", "RTRL gradient"),
    ("williams1989", "n ** 2 * (n + m) * (n + 1), (per", "n ** 2 * (n + m) * n, (per", "RTRL products"),
    ("williams1989", "n ** 3 + n ** 2 * m", "n ** 3 + n * m", "RTRL storage"),
    ("williams1989", "products, 4 * n ** 4", "products, 3 * n ** 4", "RTRL O(n^4)"),
    ("williams1989", "n ** 4, products, ()", "2 * n ** 4, products, ()", "RTRL Omega(n^4)"),
    ("elman", "Integer(0), (through_net, *of_net, constant)", "Integer(0), (through_net, *of_net, followed)", "Elman flow"),
    ("elman", "total(c(j, t), anything), Integer(0)", "total(c(j, t), anything), Integer(1)", "Elman outputs"),
    ("elman", "w(i, j) * slope(j, t),", "w(j, i) * slope(j, t),", "Elman net"),
    ("elman", "KroneckerDelta(i, l_) * c(k, t), (", "KroneckerDelta(i, l_) * c(k, t - 1), (", "Elman weights"),
    ("elman", "delta(l_, t) * y(k, t - 1)", "delta(l_, t) * y(k, t)", "Elman gradient"),
    ("elman", "Sum(w(i, a) * slope(a, t - 1)", "Sum(w(i, a) * slope(a, t)", "Elman full"),
    ("williams1990", "along = Sum(d(k, p) * flow(k, i, p, m)", "along = Sum(d(k, p) * flow(i, k, p, m)", "TBPTT errors"),
    ("williams1990", "sent = Sum(along, (p, 1, k1))", "sent = Sum(along, (p, 1, k2))", "TBPTT errors"),
    ("williams1990", "(k, 1, n)), (p, 1, k1)), (m, 1, k2))", "(k, 1, n)), (p, 1, k1)), (m, 1, k1))", "TBPTT terms"),
    ("williams1990", "parts = Sum(part(i, p, m), (p, 1, k1))", "parts = Sum(part(i, p, m), (p, 1, k1 + 1))", "TBPTT errors"),
    ("williams1990", "Sum(of_all(k2 + r), (r, 1, R))", "Sum(of_all(k2 + r - 1), (r, 1, R))", "TBPTT left out"),
    ("williams1990", "k2 - k1, reach(p), ()", "k2 - k1 + 1, reach(p), ()", "TBPTT shortest reach"),
    ("williams1990", "reach(p), k2 - 1, (", "reach(p), k2 - 2, (", "TBPTT longest reach"),
    ("williams1990", "count = k1 * k2 - k1 * (k1 - 1) / 2", "count = k1 * k2 - k1 * (k1 + 1) / 2", "TBPTT pairs"),
    ("williams1990", "k2 * (k2 + 1) / 2", "k2 * (k2 - 1) / 2", "TBPTT windows"),
    ("mozer", "powers = KroneckerDelta(i, j) * tau(i) ** q", "powers = KroneckerDelta(i, j) * tau(i) ** (q + 1)", "Mozer flow"),
    ("mozer", "KroneckerDelta(i, j) * exp(-q / T)", "KroneckerDelta(i, j) * exp(q / T)", "Mozer time"),
    ("mozer", "(1 - tau(i)) * tanh.slope(net(i, t)) * w(i, j)", "tanh.slope(net(i, t)) * w(i, j)", "Mozer one step"),
    ("mozer", "factor(b, a, t + m)", "factor(a, b, t + m)", "Mozer paths"),
    ("mozer", "tau(i) ** (q - m) * tanh", "tau(i) ** (q - m + 1) * tanh", "Mozer memory"),
    ("mozer", "tanh.slope(net(i, t)) * x(j, t),", "tanh.slope(net(i, t)) * x(j, t - 1),", "Mozer focused"),
    ("fahlman", "Product(slope(t + m) * w_s, (m, 1, q))", "Product(slope(t + m - 1) * w_s, (m, 1, q))", "RCC flow"),
    ("fahlman", "slope(t), Rational(1, 4), (logistic,)", "slope(t), Rational(1, 5), (logistic,)", "RCC bound"),
    ("fahlman", "(read(j, t) + w_s * by_w(V(t - 1)))", "(read(j, t) - w_s * by_w(V(t - 1)))", "RCC input weights"),
    ("fahlman", "(V(t - 1) + w_s * by_s(V(t - 1)))", "(V(t) + w_s * by_s(V(t - 1)))", "RCC self weight"),
    ("waibel", "slope(1, i, t0 + longest - b) * w(1, i, j, longest - b)", "slope(1, i, t0 + longest - b) * w(1, i, j, b)",
     "TDNN one layer"),
    ("waibel", "beyond = total(y(a, i, t0 + span(a) + 1 + r), x)", "beyond = total(y(a, i, t0 + span(a) + r), x)", "TDNN window"),
    ("waibel", "span(a - 1) + D(a), forall", "span(a - 1) + D(a) - 1, forall", "TDNN window"),
    ("lin", "too_far = phi(p, k, line(p) + 1 + r)", "too_far = phi(p, k, line(p) + r)", "NARX reach"),
    ("lin", "too_near = phi(p, k, p - 1 - r)", "too_near = phi(p, k, p - r)", "NARX overshoot"),
    ("lin", "jump(b, b_to, N, line(m - 1))", "jump(b, b_to, N, line(m))", "NARX crossing"),
    ("lin", "mass(p, q), rho ** p, p, start=0", "mass(p, q), rho ** (p + 1), p, start=0", "NARX factors"),
    ("lin", "Sum(size(N + 1 - e), (e, 1, N)), rho", "Sum(size(N + 1 - e), (e, 1, N)), 2 * rho", "NARX factors"),
    ("lin", "(m, 1, P)) * jump(i, k, back, q - back)", "(m, 1, P)) * jump(i, k, back, q)", "NARX all paths"),
    ("lin", "Sum((1 - rho) * rho ** (c + m - 1), (m, 1, P))", "Sum((1 + rho) * rho ** (c + m - 1), (m, 1, P))", "NARX geometric"),
    ("benettin", "over_units(Q(i, k, t) * R(k, j, t), k)", "over_units(Q(i, k, t) * R(j, k, t), k)", "Lyapunov no loss"),
    ("benettin", "forall=(row, column, t), where=(row > column,))", "forall=(row, column, t), where=(row < column,))",
     "Lyapunov triangular"),
    ("benettin", "growth = Product(r_i(i, m), (m, 1, T))", "growth = Product(r_i(i, m), (m, 1, T - 1))", "Lyapunov diagonal"),
    ("benettin", "logs = Sum(log(r_i(i, m)), (m, 1, T))", "logs = 2 * Sum(log(r_i(i, m)), (m, 1, T))", "Lyapunov telescopes"),
    ("benettin", "log(squared) / (2 * T), lam(1, T)", "log(squared) / T, lam(1, T)", "Lyapunov first"),
    ("benettin", "below(\"the norm\", log(norm(T)) / T", "below(\"the norm\", log(norm(T)) / (2 * T)", "Lyapunov rate"),
    ("benettin", "Sum(log(det_D(m)), (m, 1, T)) / T", "Sum(log(det_D(m)), (m, 1, T))", "Lyapunov sum"),
    ("benettin", "Sum(log(gate(i, m)), (m, 1, T)) / T", "Sum(log(gate(i, m)), (m, 1, T)) * T", "Lyapunov gates"),
    ("benettin", "gate(i, t), Integer(1), forall=(i, t))", "gate(i, t), Integer(2), forall=(i, t))", "Lyapunov carousel"),
]


@pytest.mark.parametrize("file, good, bad, id", PLANTED, ids=[f"{p[3]}-{k}" for k, p in enumerate(PLANTED)])
def test_planted_mistake_is_refused(tmp_path, file, good, bad, id):
    path, = (path for name, path in FILES.items() if name.startswith(file))
    source = path.read_text()
    assert source.count(good) == 1, f"{good!r} stands {source.count(good)} times in {path.name}"
    planted = tmp_path / path.name
    planted.write_text(source.replace(good, bad))
    claim = {c.id: c for c in load(planted)}[id]
    with pytest.raises(ProofError, match=f"^claim {re.escape(id)} "):
        claim.verify()


def test_every_kind_of_claim_has_a_planted_mistake():
    """All but the Greff claims, of which the same functions make 51: there one for each formula."""
    assert {id for id in CLAIMS if not id.startswith("Greff")} <= {id for *_, id in PLANTED}


# Both sides as numbers.

VARIANTS = ("vanilla", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
ON = {  # on which net the claims meet as numbers: those of a file, but for those that assume more
    **dict.fromkeys(OF_FILE["gers2000_forget_gate"], gers_2000),
    "Gers 2000 carousel": lambda: gers_2000(lambda t: 1.0),
    "Gers 2000 closed": lambda: gers_2000(lambda t: 0.0 if t == 3 else 0.8),
    **dict.fromkeys(OF_FILE["gers2002_peepholes"], lambda: gers_2002(peepholes=False)),
    "Gers 2002 one step": gers_2002, "Gers 2002 paths": gers_2002,
    **{id: lambda variant=id.split()[1]: greff(variant) for id in OF_FILE["greff2017_lstm_variants"]},
    **dict.fromkeys(OF_FILE["williams1989_rtrl"], recurrent),
    **dict.fromkeys(OF_FILE["elman1990_training"], lambda: elman(constant=True)),
    "Elman net": lambda: elman(constant=False), "Elman full": lambda: elman(constant=False),
    **dict.fromkeys(OF_FILE["mozer1992_time_constants"], mozer),
    "Mozer time": lambda: mozer(T=4.0), "Mozer one step": lambda: mozer(truncated=False), "Mozer paths": lambda: mozer(truncated=False),
    "Mozer focused": lambda: mozer(focused=True),
    **dict.fromkeys(OF_FILE["fahlman1991_cascade_correlation"], cascade),
    **dict.fromkeys(OF_FILE["waibel1989_time_delays"], time_delays),
    **dict.fromkeys(OF_FILE["williams1990_truncated_bptt"], window_pass),
    "NARX reach": lambda: narx({"p": 3, "k": 2, "r": 0}), "NARX overshoot": lambda: narx({"p": 3, "k": 2, "r": 0}),
    "NARX crossing": lambda: narx({"p": 3, "k": 2}), "NARX factors": lambda: narx({"p": 3, "q": 6}),
    "NARX all paths": lambda: narx({"k": 2, "q": 5, "P": 5}), "NARX geometric": lambda: narx({"c": 2, "P": 4}),
    **dict.fromkeys(OF_FILE["benettin1980_lyapunov"], lyapunov),
    "Lyapunov gates": lambda: lyapunov(weights(6, 3, seed=5) ** 2 + 0.1), "Lyapunov carousel": lambda: lyapunov(np.ones((6, 3))),
}
ASSUMED = {"Gers 2002 saturated"}  # f' = 0 at a finite net is no number: a net cannot meet it


def test_every_claim_meets_numbers():
    assert set(ON) == set(CLAIMS)


@pytest.mark.parametrize("id", sorted(set(CLAIMS) - ASSUMED))
def test_both_sides_are_equal(id):
    """Rounding of some hundred products of float64, relative to the larger side; exact zeros are exact."""
    net, at = ON[id]()
    left, right = (number(side, net, at) for side in CLAIMS[id].derived.args)
    if CLAIMS[id].derived.rel_op == "==":
        assert abs(left - right) <= 1e-13 * max(abs(left), abs(right))
    else:
        assert left <= right * (1 + 1e-13)


# Against the package: its gradients and flows, on the same weights.


def fully_recurrent(steps=12, units=3, inputs=2):
    """A trajectory of the fully recurrent cell from random weights, and errors at its outputs."""
    kernel, rng = compile_cell(get("conventional")), np.random.default_rng(4)
    params = {k: rng.normal(size=v.shape) * 1.5 for k, v in kernel.random_params(units, inputs, rng).items()} | {"b": np.zeros(units)}
    x = rng.normal(size=(steps, 1, inputs))
    trajectory = kernel.forward(params, x)
    return trajectory, rng.normal(size=(steps, 1, units))


def test_rtrl_in_loops_is_the_package_s():
    trajectory, errors = fully_recurrent()
    errors[:-1] = 0
    p, products, _ = rtrl_in_loops(trajectory.params["W_y"], trajectory.params["W_x"], trajectory.inputs["x"][:, 0], np.zeros(3))
    expected = np.einsum("k,kij->ij", errors[-1, 0], p)
    for found in (rtrl(trajectory, errors), gradients.bptt(trajectory, errors)):
        got = np.hstack([found.params["W_y"], found.params["W_x"]])
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    assert products == len(errors) * number(CLAIMS["RTRL products"].derived.rhs, None, {"n": 3, "m": 2})


def test_elman_training_is_one_step_of_backpropagation():
    trajectory, errors = fully_recurrent()
    y, y_prev = trajectory["y"][:, 0], np.vstack([np.zeros(3), trajectory["y"][:-1, 0]])
    delta = errors[:, 0] * y * (1 - y)
    for found in (gradients.bptt(trajectory, errors, cut=True), gradients.truncated_bptt(trajectory, errors, 1, 1)):
        np.testing.assert_allclose(found.params["W_y"], delta.T @ y_prev, rtol=0, atol=1e-14 * np.abs(delta.T @ y_prev).max())
    for q, matrices, _, _ in flow.flow_matrices(trajectory, "net", ["net"], 11, cut=trajectory.kernel.cell.recurrent_edges):
        assert np.array_equal(matrices["net"], np.eye(3) * (q == 0))


@pytest.mark.parametrize("k1, k2", [(1, 1), (1, 4), (2, 5), (3, 3), (4, 6), (12, 12)])
def test_truncated_bptt_keeps_the_terms_that_are_claimed(k1, k2):
    """sum over passes of the terms p <= k1, m <= k2, each from the flow of the whole sequence."""
    trajectory, errors = fully_recurrent(steps=12)
    y = trajectory["y"][:, 0]
    slope, y_prev = y * (1 - y), np.vstack([np.zeros(3), y[:-1]])
    kept, pairs = np.zeros((3, 3)), 0
    for s in range(12):
        T = min(s // k1 * k1 + k1, 12) - 1  # the pass that takes the error of step s
        p = T - s + 1
        back = errors[s, 0]
        for q, matrices, exponent, _ in flow.flow_matrices(trajectory, "y", ["y"], s, end=s):
            if p + q <= k2:
                kept += np.outer(back @ np.ldexp(matrices["y"], exponent) * slope[s - q], y_prev[s - q])
                pairs += 1
    found = gradients.truncated_bptt(trajectory, errors, k1, k2).params["W_y"]
    np.testing.assert_allclose(found, kept, rtol=0, atol=1e-13 * np.abs(kept).max())
    if k1 == 12:
        assert pairs == number(CLAIMS["TBPTT pairs"].derived.rhs, None, {"k_1": 12, "k_2": 12})
        full = gradients.bptt(trajectory, errors).params["W_y"]
        np.testing.assert_allclose(found, full, rtol=0, atol=1e-13 * np.abs(full).max())


@pytest.mark.parametrize("name", ["conventional", "lstm", "gru"])
def test_exponents_by_qr_and_the_flow_of_the_package(name):
    """First exponent below the flow rate, sum equal to the mean of log |det|, at every T."""
    problem = make_problem(get(name), 3, steps=42, units=3)
    states, step = problem.kernel.states, StepJacobian(LinearisedStep(problem.trajectory))
    sizes = {new: 3 for new in states.values()}
    n = sum(sizes.values())
    Q, logs, log_det = np.eye(n), np.zeros(n), 0.0
    for t in range(1, 41):
        blocks = step.at(t)
        D = np.block([[blocks[new, old].matrix((3, 3)) if (new, old) in blocks else np.zeros((3, 3)) for old in states] for new in sizes])
        Q, R = np.linalg.qr(D @ Q)
        logs += np.log(np.abs(np.diag(R)))
        log_det += np.linalg.slogdet(D)[1]
        *_, (_, matrices, exponent, _) = flow.state_matrices(problem.trajectory, t, end=t)
        P = np.block([[matrices[a, b] for b in sizes] for a in sizes])
        rate, first = np.log(np.linalg.norm(P, 2)) + exponent * np.log(2), np.log(np.linalg.norm(P[:, 0])) + exponent * np.log(2)
        assert abs(logs[0] - first) <= 1e-12 * t and logs[0] <= rate + 1e-12 * t
        assert abs(logs.sum() - log_det) <= 1e-10 * t  # condition of one step, about 1e4, times rounding


@pytest.mark.parametrize("id", [id for id, claim in CLAIMS.items() if claim.checks])
def test_claim_meets_the_cell(id, monkeypatch):
    monkeypatch.setattr(paper, "NETS", 2)  # `verify` takes more; here the mistake counts
    assert {check.verdict for check in check_claim(CLAIMS[id], catalogue())} == {"pass"}
    for place, check in enumerate(CLAIMS[id].checks):
        wrong = replace(check, evaluate=off_by_a_millionth(check))
        checks = (*CLAIMS[id].checks[:place], wrong, *CLAIMS[id].checks[place + 1:])
        assert check_claim(replace(CLAIMS[id], checks=checks), catalogue())[-1].verdict == "fail"


@pytest.mark.parametrize("id", ["Greff vanilla dx", "Gers 2002 flow", "RCC flow", "TDNN one layer"])
def test_peepholes_cut_connections_and_moved_inputs_in_balls(id):
    pytest.importorskip("flint", reason="python-flint is the extra `certified`")
    cell = catalogue()[CLAIMS[id].checks[0].cell]
    for check in CLAIMS[id].checks:
        assert certify(Result("x/code", "x", "pass"), check, cell).error < 1e-25
        wrong = replace(check, evaluate=lambda *a, check=check: check.evaluate(*a) * (1 + 2.0**-50))
        with pytest.raises(Mismatch, match="rigorous"):
            certify(Result("x/code", "x", "pass"), wrong, cell)


def off_by_a_millionth(check):
    """The claimed value times 1 + 1e-6 and, as it may be zero, 1e-9 added; a bound divided by 10 a step."""
    if check.relation == "<=":
        return lambda values, q: check.evaluate(values, q) - 40 * q
    return lambda values, q: check.evaluate(values, q) * (1 + 1e-6) + 1e-9


def greff_cell(variant):
    """A variant as a Cell: peepholes are diagonal nets, full gate recurrence makes the gates states."""
    gone = {"NIG": "i", "NFG": "f", "NOG": "o", "CIFG": "f"}.get(variant)
    x, y_prev, c_prev, c, y = symbols("x y_prev c_prev c y")
    before = {gate: symbols(f"{gate}_prev") for gate in "ifo"} if variant == "FGR" else {}
    act, equations = {}, []

    def gate(name):
        net, act[name] = symbols(f"bar_{name} {name}")
        if name == gone:
            return
        equations.append(Net(net, x, y_prev, *(before.values() if name != "z" else ())))
        total = net
        if name != "z" and variant != "NP":
            peep = symbols(f"peep_{name}")
            equations.append(Net(peep, c if name == "o" else c_prev, kind="diagonal", bias=None))
            total = net + peep
        squash = (lambda v: v) if (name, variant) == ("z", "NIAF") else tanh if name == "z" else sigma
        equations.append(Unit(act[name], squash(total)))

    for name in "zif":
        gate(name)
    value = {name: 1 if name == gone else act[name] for name in "zif"}
    value["f"] = 1 - act["i"] if variant == "CIFG" else value["f"]
    equations.append(Unit(c, act["z"] * value["i"] + c_prev * value["f"]))
    gate("o")
    equations.append(Unit(y, (c if variant == "NOAF" else tanh(c)) * (1 if gone == "o" else act["o"])))
    state = {c_prev: c, y_prev: y} | {before[name]: act[name] for name in before}
    return Cell(f"greff_{variant}", "Greff et al. 2017", 2017, inputs=[x], state=state, output=y, equations=equations)


def greff_parameters(cell, net):
    """Weights of the plain net under the names of the cell, and {name of the cell: name and index order of the plain net}."""
    names = {}
    for name, edge in cell.parameters.items():
        gate, source = edge.net.split("_")[1], edge.source.removesuffix("_prev")
        names[name] = {"1": f"b_{gate}", "x": f"W_{gate}", "y": f"R_{gate}", "c": f"p_{gate}"}.get(source, f"R_{gate}{source}")
    sizes = {"b": (2,), "p": (2,)}
    return names, {name: np.array([net.base(plain, *(k + 1 for k in index)) for index in np.ndindex(sizes.get(plain[0], (2, 2)))]).reshape(
        sizes.get(plain[0], (2, 2))) for name, plain in names.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_and_flow_of_the_package_are_those_of_the_plain_variant(variant):
    """All weights, and dy(t)/d of every pre-activation at every lag; rounding of some hundred products of float64."""
    T = 7
    net, _ = greff(variant, T)
    cell = greff_cell(variant)
    names, params = greff_parameters(cell, net)
    x = np.array([[[net.base("x", j, t) for j in (1, 2)]] for t in range(1, T + 1)])
    trajectory = compile_cell(cell).forward(params, x)
    errors = np.array([[[net.others["Delta"](i, t) for i in (1, 2)]] for t in range(1, T + 1)])
    found = gradients.bptt(trajectory, errors).params
    for name, plain in names.items():
        expected = np.array([net.d(("E", ()), (plain, tuple(k + 1 for k in index))) for index in np.ndindex(found[name].shape)])
        np.testing.assert_allclose(found[name].ravel(), expected, rtol=0, atol=1e-13 * np.abs(expected).max(), err_msg=name)
    receivers = [n.out.name for n in cell.nets if n.out.name.startswith("bar")]
    for q, matrices, exponent, _ in flow.flow_matrices(trajectory, "y", receivers, T - 1):
        for name, matrix in matrices.items():
            expected = np.array([[net.d(("y", (i, T)), (name, (j, T - q))) for j in (1, 2)] for i in (1, 2)])
            np.testing.assert_allclose(np.ldexp(matrix, exponent), expected, rtol=0, atol=1e-13 * np.abs(expected).max(),
                                       err_msg=f"{name}, lag {q}")


# The laws that these proofs use, against direct computation, and where they do not hold.

i, j, k, n = indices("i j k n")
f, w = quantity("f", "f_{{{0}}}"), quantity("w", "w_{{{0} {1}}}")


@pytest.mark.parametrize("at", range(1, 6))
def test_a_sum_is_split_at_each_of_its_terms(at):
    term = Sum(f(k), (k, 1, 5))
    parts = split_at(Integer(at), 5).rewrite(term)
    assert parts != term and sympy.expand(parts.doit() - term.doit()) == 0


def test_only_the_sum_over_all_units_is_split():
    for kept in (Sum(f(k), (k, 2, n)), Sum(f(k), (k, 1, n - 1)), Product(f(k), (k, 1, n))):
        assert split_at(i, n).rewrite(kept) == kept
    both = Sum(f(k) * w(j, k), (j, 1, 2), (k, 1, 3))
    assert sympy.expand(split_at(Integer(2), 3).rewrite(both).doit() - both.doit()) == 0


@pytest.mark.parametrize("values", list(itertools.product((1, 2), repeat=3)))
def test_one_unit_has_one_name(values):
    term = KroneckerDelta(i, j) * (f(j) + w(i, k)) - f(i) * KroneckerDelta(j, k) * w(k, k)
    at = dict(zip((i, j, k), values))
    assert sympy.expand(same_unit.rewrite(term).subs(at) - term.subs(at)) == 0
    assert same_unit.rewrite(KroneckerDelta(i, j) * (f(i) - f(j))) == 0


def test_a_fact_is_used_only_for_values_in_its_range():
    """A fact for r >= 1 says nothing of r = 0; one for steps q says nothing of q = -1."""
    positive, step = indices("r"), lag("q")
    zero = Given("beyond n", f(n + positive), Integer(0), forall=(positive,))
    Proof(Step("inside the range", f(n + positive + 2), Integer(0), (zero,), forall=(positive,))).verify()
    with pytest.raises(ProofError, match="does not hold"):
        Proof(Step("at n", f(n + step), Integer(0), (zero,), forall=(step,))).verify()
    later = Given("for every step", f(step), Integer(0), forall=(step,))
    with pytest.raises(ProofError, match="does not hold"):
        Proof(Step("before the first step", f(step - 1), Integer(0), (later,), forall=(step,))).verify()


def test_an_induction_does_not_mix_its_step_with_a_symbol_of_the_same_name():
    """w(r, q) = 0 for r <= q does not follow from w(r, r) = 0, though the step is checked at q = r."""
    r, q = indices("r"), lag("q")
    diagonal = Given("on the diagonal", w(r, r), Integer(0), forall=(r,))
    start = Given("at the start", w(r, 0), Integer(0), forall=(r,))
    everywhere = Induction("everywhere", w(r, q), Integer(0), q, start=0, base=Step("start", w(r, q), Integer(0), (start,)),
                           step=Step("step", w(r, q), Integer(0), (diagonal,)))
    with pytest.raises(ProofError, match="does not hold"):
        Proof(everywhere).verify()


def test_peepholes_open_in_the_cell():
    """Only the errors through y(t-1) cut: per unit the product of q factors, blocks of size 1, at every lag of the package's cell."""
    problem = make_problem(get("lstm_peephole"), 5, steps=42)
    cut = {edge for edge in problem.kernel.cell.recurrent_edges if edge.source == "y_prev"}
    v, product = {name: problem.trajectory[name][:, 0] for name in problem.kernel.cell.sizes}, np.ones(4)
    for q, matrices, exponent, _ in flow.flow_matrices(problem.trajectory, "s", ["s"], 40, cut=cut):
        assert np.abs(np.ldexp(matrices["s"], exponent) - np.diag(product)).max() <= 1e-13 * np.abs(product).max()
        at, before = -1 - q, v["s"][-2 - q]
        product = product * (v["y_f"][at] + before * v["y_f"][at] * (1 - v["y_f"][at]) * problem.params["w_peep_f_s"]
                             + np.tanh(v["net_c"][at]) * v["y_in"][at] * (1 - v["y_in"][at]) * problem.params["w_peep_in_s"])
