"""Every rung of the ladder must be able to fail: planted mistakes, each with the rung that must report it."""

from dataclasses import replace

import numpy as np
import pytest

from flowcheck import CellClaim, Implementation, Mismatch, Unit, catalogue, check_cell, compile_cell, kernels, notation
from flowcheck.flow import state_matrices
from flowcheck.gradients import bptt
from flowcheck.jacobian import StepJacobian
from flowcheck.kernels import Trajectory
from flowcheck.notation import sigma, symbols, tanh
from flowcheck.sensitivity import rtrl
from flowcheck.step import Step
from flowcheck.verify.ladder import RUNGS
from flowcheck.verify.result import Check, compare

LAGS = 12
RIGHT = Implementation()
net_in, y_in, y_f, c, s_prev, y_out, s = symbols("net_in y_in y_f c s_prev y_out s")


def forward_of(cell, p, params=None, x=None, state0=None):
    return compile_cell(cell).forward(
        params or p.params, p.x if x is None else x, p.state0 if state0 is None else state0
    )


def with_formula(cell, out, formula):
    """The cell with another formula for one unit."""
    return replace(cell, equations=[Unit(e.out, formula) if e.out.name == out else e for e in cell.equations])


def swapped(params, one, other):
    """The weights of two gates exchanged."""
    exchange = {one: other, other: one}
    return {k: params["_".join(exchange.get(part, part) for part in k.split("_"))] for k in params}


def wrong_forward(out, formula):
    return {"forward": lambda p: forward_of(with_formula(p.cell, out, formula), p)}


def wrong_partials(key, change):
    return {"partials": lambda p: p.trajectory.partials | {key: change(p, p.trajectory.partials[key])}}


def wrong_jacobian(change):
    return {"jacobian": lambda p, t: change(RIGHT.jacobian(p, t))}


def wrong_jacobian_block(key, change):
    return wrong_jacobian(lambda blocks: blocks | {key: change(blocks[key])})


def jacobian_with_gates_swapped(p, t):
    other = Trajectory(
        p.kernel, swapped(p.params, "in", "f"), p.trajectory.inputs, p.trajectory.values, p.trajectory.state0
    )
    step = Step(other)
    return {
        key: b.matrix((step.length(key[0]), step.length(key[1])))
        for key, b in StepJacobian(step).at(t).items()
    }


def wrong_flow(change, first):
    """The flow changed at every lag from `first` on."""
    def flow(p, lags, cut):
        for q, (matrices, floor) in enumerate(RIGHT.flow(p, lags, cut), 1):
            yield ({k: change(m) for k, m in matrices.items()} if q >= first else matrices), floor
    return {"flow": flow}


def flow_one_lag_late(p, lags, cut):
    flows = list(RIGHT.flow(p, lags, cut))
    yield from [*flows[1:], flows[-1]]


def flow_from_one_step_earlier(p, lags, cut):
    for _, matrices, exponent, floor in state_matrices(p.trajectory, lags, end=p.trajectory.steps - 2, cut=cut):
        yield {k: np.ldexp(m, exponent) for k, m in matrices.items()}, np.ldexp(floor, exponent)


def flow_without(*edges):
    """The full flow with some paths dropped."""
    return {"flow": lambda p, lags, cut: RIGHT.flow(p, lags, cut or p.cell.cut(edges))}


def flow_without_a_carry(first):
    """From lag `first` on, nothing comes from s(t-q) to s(t-q+1): the product is short of one block."""
    def flow(p, lags, cut):
        for q, (matrices, floor) in enumerate(RIGHT.flow(p, lags, cut), 1):
            yield ({k: m * (k[1] != "s") for k, m in matrices.items()} if q >= first else matrices), floor
    return {"flow": flow}


def wrong_net_errors(change):
    return {"net_errors": lambda p, cut: {k: change(v) for k, v in RIGHT.net_errors(p, cut).items()}}


def wrong_gradient(name, change):
    return {"gradient": lambda p, cut: (g := RIGHT.gradient(p, cut)) | {name: change(g[name])}}


def last_step_only(p, cut):
    found = bptt(p.trajectory, p.errors, cut)
    last = p.trajectory.steps - 1
    return found.params | {"W_f_y": found.net_errors["net_f"][last].T @ p.trajectory.at("y_prev", last)}


def source_at_the_wrong_time(p, cut):
    """dE/dnet(t) meets y(t) where y(t-1) belongs."""
    found = bptt(p.trajectory, p.errors, cut)
    return found.params | {"W_y": found.net_errors["net"][:, 0].T @ p.trajectory["y"][:, 0]}


def zero_block(block):
    return np.zeros_like(block)


PLANTED = [  # rung that must report it, first bad lag, cell, name, changes of the implementation
    ("forward", None, "lstm", "sigma(2x) for sigma(x)", wrong_forward("y_in", sigma(2 * net_in))),
    ("forward", None, "lstm", "tanh for sigma", wrong_forward("y_in", tanh(net_in))),
    ("forward", None, "lstm", "gates swapped in the state", wrong_forward("s", y_in * s_prev + y_f * c)),
    ("forward", None, "lstm", "output from the squashed state forgotten", wrong_forward("y", y_out * s)),
    ("forward", None, "tanh", "weights transposed",
     {"forward": lambda p: forward_of(p.cell, p, p.params | {"W_y": p.params["W_y"].T})}),
    ("forward", None, "gru", "gates swapped in the weights",
     {"forward": lambda p: forward_of(p.cell, p, swapped(p.params, "r", "z"))}),
    ("forward", None, "tanh", "input one step late",
     {"forward": lambda p: forward_of(p.cell, p, x=np.roll(p.x, 1, axis=0))}),
    ("forward", None, "carousel", "initial state ignored", {"forward": lambda p: forward_of(p.cell, p, state0={})}),
    ("forward", None, "gru", "reset before for reset after",
     {"forward": lambda p: replace_values(p, "n", np.tanh(p.trajectory["net_n"] + p.trajectory["net_m"]))}),
    ("forward", None, "tanh", "constant not broadcast",
     {"forward": lambda p: replace_values(p, "y", p.trajectory["y"][..., :1])}),

    ("partials", None, "conventional", "sign of a slope", wrong_partials(("y", "net"), lambda p, d: -d)),
    ("partials", None, "lstm1997", "factor 2 in a slope", wrong_partials(("y_in", "net_in"), lambda p, d: 2 * d)),
    ("partials", None, "tanh", "slope taken at t+1", wrong_partials(("y", "net"), lambda p, d: np.roll(d, -1, axis=0))),
    ("partials", None, "lstm", "activation where its slope belongs",
     wrong_partials(("y_f", "net_f"), lambda p, d: p.trajectory["y_f"])),
    ("partials", None, "lstm", "slope of sigma(2x)",
     wrong_partials(("y_f", "net_f"), lambda p, d: 2 * sigma_prime(2 * p.trajectory["net_f"]))),
    ("partials", None, "lstm", "slope without its inner derivative",
     wrong_partials(("y", "s"), lambda p, d: p.trajectory["y_out"])),
    ("partials", None, "lstm", "gate and state exchanged",
     wrong_partials(("s", "y_f"), lambda p, d: p.trajectory["y_f"])),
    ("partials", None, "gru", "constant returned as a scalar",
     wrong_partials(("y", "n"), lambda p, d: np.asarray(0.5))),
    ("partials", None, "tanh", "slopes not broadcast over units",
     wrong_partials(("y", "net"), lambda p, d: d[..., :1])),
    ("partials", None, "lstm", "a partial left out",
     {"partials": lambda p: {k: v for k, v in p.trajectory.partials.items() if k != ("s", "c")}}),

    ("step-jacobian", None, "tanh", "weights transposed in the Jacobian",
     wrong_jacobian_block(("y", "y_prev"), np.transpose)),
    ("step-jacobian", None, "gru", "sign in the Jacobian", wrong_jacobian_block(("y", "y_prev"), np.negative)),
    ("step-jacobian", None, "carousel", "factor 2 in the Jacobian",
     wrong_jacobian_block(("s", "s_prev"), lambda m: 2 * m)),
    ("step-jacobian", None, "lstm", "path from output to state dropped",
     wrong_jacobian_block(("s", "y_prev"), zero_block)),
    ("step-jacobian", None, "lstm", "missing carry", wrong_jacobian_block(("s", "s_prev"), zero_block)),
    ("step-jacobian", None, "lstm1997", "block left out",
     wrong_jacobian(lambda b: {k: m for k, m in b.items() if k != ("s", "y_in_prev")})),
    ("step-jacobian", None, "conventional", "slopes of the step after",
     {"jacobian": lambda p, t: RIGHT.jacobian(p, t + 1)}),
    ("step-jacobian", None, "lstm", "gates swapped in the Jacobian", {"jacobian": jacobian_with_gates_swapped}),

    ("flow", 3, "tanh", "sign of the flow from lag 3", wrong_flow(np.negative, 3)),
    ("flow", 11, "conventional", "factor 2 in the flow from lag 11", wrong_flow(lambda m: 2 * m, 11)),
    ("flow", 9, "lstm", "flow a millionth too large from lag 9", wrong_flow(lambda m: m * (1 + 1e-6), 9)),
    ("flow", 5, "gru", "flow transposed from lag 5", wrong_flow(np.transpose, 5)),
    ("flow", 7, "lstm", "flow cut off at lag 7", wrong_flow(zero_block, 7)),
    ("flow", 2, "carousel", "flow clipped from lag 2", wrong_flow(lambda m: np.clip(m, -0.5, 0.5), 2)),
    ("flow", 1, "tanh", "lag off by one", {"flow": flow_one_lag_late}),
    ("flow", 1, "conventional", "slopes one step early", {"flow": flow_from_one_step_earlier}),
    ("flow", 1, "lstm", "path from output to cell input dropped", flow_without("net_c<-y_prev")),
    ("flow", 1, "lstm1997", "path from gate to gate dropped", flow_without("net_in<-y_out_prev")),
    ("flow", 4, "lstm", "carry of the state missing from lag 4", flow_without_a_carry(4)),
    ("flow", 1, "lstm", "full flow for truncated", {"flow": lambda p, lags, cut: RIGHT.flow(p, lags, ())}),
    ("flow", 1, "gru", "truncated flow for full", {"flow": lambda p, lags, cut: RIGHT.flow(p, lags, True)}),

    ("step-gradient", 0, "tanh", "sign of the net errors", wrong_net_errors(np.negative)),
    ("step-gradient", 0, "lstm", "mean over steps for sum", wrong_net_errors(lambda e: e / len(e))),
    ("step-gradient", 0, "gru", "net errors one step late", wrong_net_errors(lambda e: np.roll(e, 1, axis=0))),
    ("step-gradient", 1, "lstm", "net errors of the last step only",
     wrong_net_errors(lambda e: e * (np.arange(len(e)) == len(e) - 1)[:, None, None])),
    ("step-gradient", 1, "conventional", "errors not carried past the last step",
     {"net_errors": lambda p, cut: bptt(p.trajectory, p.errors, True).net_errors}),

    ("gradient", None, "tanh", "weight gradient transposed", wrong_gradient("W_y", np.transpose)),
    ("gradient", None, "lstm", "mean for sum in the weight gradient", wrong_gradient("W_in_x", lambda g: g / LAGS)),
    ("gradient", None, "lstm", "last step only in the weight gradient", {"gradient": last_step_only}),
    ("gradient", None, "conventional", "source at t for t-1", {"gradient": source_at_the_wrong_time}),
    ("gradient", None, "gru", "factor 2 in a bias", wrong_gradient("b_m", lambda g: 2 * g)),
    ("gradient", None, "lstm", "gradients of two gates swapped",
     {"gradient": lambda p, cut: swapped(RIGHT.gradient(p, cut), "in", "f")}),
    ("gradient", None, "lstm1997", "truncated gradient for full", {"gradient": lambda p, cut: RIGHT.gradient(p, True)}),
    ("gradient", None, "lstm", "RTRL without carry", {"rtrl": lambda p, cut: rtrl_without_carry(p, cut)}),
    ("gradient", None, "tanh", "RTRL truncated", {"rtrl": lambda p, cut: rtrl(p.trajectory, p.errors, True).params}),
]


def sigma_prime(z):
    return notation.ROUTINES["sigma_prime"](z)


def replace_values(p, name, values):
    """The right trajectory with one vector replaced."""
    return {k: p.trajectory[k] for k in p.trajectory.values} | {name: values}


def rtrl_without_carry(p, cut):
    """Each step on its own: d state(t-1)/dw taken for zero."""
    steps = [rtrl(p.trajectory.window(t, t + 1), p.errors[t:t + 1], cut).params for t in range(p.trajectory.steps)]
    return {k: sum(g[k] for g in steps) for k in steps[0]}


@pytest.mark.parametrize("row", PLANTED, ids=[row[3] for row in PLANTED])
def test_planted_mistake_is_reported_by_its_rung(row):
    rung, first_bad_lag, cell_name, _, changes = row
    *before, last = check_cell(catalogue()[cell_name], Implementation(**changes), lags=LAGS)
    assert (last.verdict, last.rung, last.first_bad_lag) == ("fail", rung, first_bad_lag), last.words
    assert {c.verdict for c in before} <= {"pass"}
    assert {c.rung for c in before} <= set(list(RUNGS)[:list(RUNGS).index(rung) + 1])
    assert last.cell == cell_name and last.words and "\n" not in last.words
    assert last.term or last.error is None


def test_names_of_the_planted_mistakes_are_unique():
    assert len({row[3] for row in PLANTED}) == len(PLANTED)


@pytest.mark.parametrize("cell_name", sorted({row[2] for row in PLANTED}))
def test_without_a_mistake_nothing_is_reported(cell_name):
    assert {c.verdict for c in check_cell(catalogue()[cell_name], Implementation(), lags=LAGS)} == {"pass"}


def test_every_rung_has_a_mistake_that_it_must_catch():
    elsewhere = {"high-precision", "claims"}  # planted in the tests below
    assert {row[0] for row in PLANTED} | elsewhere == set(RUNGS)


@pytest.fixture
def fresh_kernels():
    compile_cell.cache_clear()
    yield
    compile_cell.cache_clear()


@pytest.mark.usefixtures("fresh_kernels")
def test_a_mistake_shared_by_slope_and_complex_step_is_left_to_high_precision(monkeypatch):
    right, slope = notation.ROUTINES["tanh"], notation.ROUTINES["tanh_prime"]

    def bent(z):
        value = right(z)
        return value.real + 2j * value.imag if np.iscomplexobj(value) else value

    monkeypatch.setitem(notation.ROUTINES, "tanh", bent)
    monkeypatch.setitem(notation.ROUTINES, "tanh_prime", lambda z: 2 * slope(z))
    last = check_cell(catalogue()["tanh"], lags=LAGS)[-1]
    assert (last.verdict, last.rung, last.first_bad_lag) == ("fail", "high-precision", 3)


ROUTINE_MISTAKES = {
    "sigma(2x)": ("sigma", lambda f: lambda z: f(2 * z), "forward"),
    "slope halved": ("sigma_prime", lambda f: lambda z: f(z) / 2, "partials"),
    "slope of 2x": ("sigma_prime", lambda f: lambda z: f(2 * z), "partials"),
    "polynomial slope of the argument": ("tanh_prime", lambda f: lambda z: 1 - z**2, "partials"),
    "value off in the twelfth digit": ("tanh", lambda f: lambda z: f(z) * (1 + 1e-12), "forward"),
}


@pytest.mark.usefixtures("fresh_kernels")
@pytest.mark.parametrize("name", ROUTINE_MISTAKES)
def test_a_mistake_in_a_routine_is_reported_by_its_rung(name, monkeypatch):
    routine, change, rung = ROUTINE_MISTAKES[name]
    changed = change(notation.ROUTINES[routine])
    monkeypatch.setitem(notation.ROUTINES, routine, changed)
    if routine in notation.squashing_ufuncs():
        monkeypatch.setitem(notation.squashing_ufuncs(), routine, lambda z, out: np.copyto(out, changed(z)))
    last = check_cell(catalogue()["lstm"], lags=LAGS)[-1]
    assert (last.verdict, last.rung) == ("fail", rung)


@pytest.mark.usefixtures("fresh_kernels")
def test_a_mistake_in_the_forward_pass_of_real_arrays_alone_is_reported(monkeypatch):
    expit, found_by = notation.squashing_ufuncs()["sigma"], kernels.calls

    def off(z, out):
        np.copyto(out, expit(z) * (1 + 1e-12))

    def planted(formula):
        names, found, works = found_by(formula)
        return names, [replace(c, ufunc=off) if c.ufunc is expit else c for c in found], works

    monkeypatch.setattr(kernels, "calls", planted)
    assert (last := check_cell(catalogue()["lstm"], lags=LAGS)[-1]).verdict == "fail", last.words


PULLBACK_MISTAKES = {  # planted in the package's own step, which flow and gradients share
    "nets not stacked": lambda step: step.stacks.clear(),
    "one net of the stack transposed": lambda step: step.stacks.update(
        {k: (n, np.concatenate([w[:4].T, w[4:]])) for k, (n, w) in step.stacks.items()}),
}


@pytest.mark.parametrize(("name", "passes"), [("nets not stacked", True), ("one net of the stack transposed", False)])
def test_stacking_the_nets_changes_nothing_but_a_mistake_in_it_is_seen(name, passes, monkeypatch):
    build = Step.__init__

    def planted(self, *arguments):
        build(self, *arguments)
        PULLBACK_MISTAKES[name](self)

    monkeypatch.setattr(Step, "__init__", planted)
    last = check_cell(catalogue()["lstm"], lags=LAGS)[-1]
    assert last.verdict == ("pass" if passes else "fail")
    assert passes or last.rung == "step-gradient"


FALSE_CLAIMS = [
    ("gru", CellClaim("carousel", "y", "y is kept"), 1),
    ("lstm", CellClaim("carousel", "s", "s is kept"), 1),
    ("lstm", CellClaim("product:y_in", "s", "s is scaled by the input gate"), 1),
    ("conventional", CellClaim("carousel", "y", "y is kept"), 1),
]


@pytest.mark.parametrize(("cell_name", "claim", "lag"), FALSE_CLAIMS, ids=[f"{n}-{c.kind}" for n, c, _ in FALSE_CLAIMS])
def test_a_false_claim_is_reported_by_the_last_rung(cell_name, claim, lag):
    last = check_cell(replace(catalogue()[cell_name], claims=[claim]), lags=LAGS)[-1]
    assert (last.verdict, last.rung, last.first_bad_lag) == ("fail", "claims", lag)


def test_a_claim_of_unknown_kind_is_not_taken_for_kept():
    with pytest.raises(ValueError, match="caroussel"):
        replace(catalogue()["carousel"], claims=[CellClaim("caroussel", "s", "misspelt")])


ONE = Check("id", "rung", "pass")


@pytest.mark.parametrize(
    ("got", "reference"),
    [
        ([1.0, 2.1], [1.0, 2.0]),
        ([1.0, np.nan], [1.0, 2.0]),
        ([1.0, np.inf], [1.0, 2.0]),
        ([1.0], [1.0, 2.0]),
        ([[1.0, 2.0]], [1.0, 2.0]),
        (2.0, [2.0, 2.0]),
        ([1e-300], [0.0]),
        ([0.0], [1e-300]),
    ],
    ids=["off", "nan", "inf", "short", "another-axis", "scalar", "nonzero-for-zero", "zero-for-nonzero"],
)
def test_compare_raises_with_its_evidence(got, reference):
    with pytest.raises(Mismatch) as broken:
        compare(ONE, got, reference, 1e-3, term="the thing")
    assert broken.value.check.verdict == "fail" and "the thing" in str(broken.value) and "\n" not in str(broken.value)


def test_compare_returns_its_evidence():
    check = compare(ONE, [1.0, 2.0002], [1.0, 2.0], 1e-3)
    assert (
        check.verdict == "pass" and check.error == pytest.approx(1e-4) and check.detectable == check.tolerance == 1e-3
    )


def test_compare_takes_a_reference_that_is_not_a_number_for_a_mismatch():
    with pytest.raises(Mismatch):
        compare(ONE, [1.0], [np.nan], 1e-3)
