"""Benchmarks time nothing before all ways agree; the nets written by hand are the package's."""

import numpy as np
import pytest

from benchmarks import fast, nets, numpy_ways
from benchmarks.__main__ import chosen
from benchmarks.case import Case, Way, run_case
from benchmarks.scaling import slope
from benchmarks.targets import judged
from flowcheck import state_flow
from flowcheck.jacobian import StepJacobian
from flowcheck.step import Step


@pytest.mark.parametrize("cell", ["tanh", "gru", "lstm"])
def test_steps_and_jacobians_by_hand_are_the_packages(cell):
    p = nets.problem(cell, 5, 12)
    run, states = p.run(), numpy_ways.states(p)
    names = [*run.kernel.states.values()]
    np.testing.assert_allclose(states[-1], np.concatenate([run[s][-1, 0] for s in names]), rtol=1e-13)
    blocks, step = StepJacobian(Step(run)).at(7), Step(run)
    expected = np.block([[blocks[new, old].matrix((5, 5)) for old in step.kernel.states] for new in names])
    np.testing.assert_allclose(nets.dense_jacobian(np, cell, p.layer.params, states[7], p.x[7]), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(numpy_ways.profile(p), state_flow(run, 12).log10_norm[0], rtol=0, atol=1e-12)


def test_rows_have_ratios_to_the_best_alternative():
    ways = {"ours": lambda: sum(range(100)), "slow": lambda: sum(range(200_000)) * 0 + 4950, "part": Way(lambda: None, 3.0, False)}
    case = Case("sum", ways, limit=Way(lambda: sum(range(100)), 10.0))
    rows = run_case(case, 2, lambda words: None)
    assert [r["way"] for r in rows] == ["ours", "slow", "part"] and rows[2]["extrapolated"]
    # ten of "ours" are the limit of all: half of it to be safe from neighbours; two thousand of it are "slow"
    assert rows[0]["share_of_limit"] > 5 and rows[1]["share_of_limit"] < 0.1 and rows[2]["share_of_limit"] is None
    assert rows[0]["ratio_to_flowcheck"] == 1.0 and rows[1]["ratio_to_flowcheck"] >= 1.0
    assert rows[0]["best_alternative_over_this"] == pytest.approx(min(r["ratio_to_flowcheck"] for r in rows[1:]))


def test_ways_that_disagree_are_not_timed():
    timed = []
    case = Case("sum", {"ours": lambda: 1.0, "wrong": lambda: timed.append(1) or 1.0 + 1e-6})
    with pytest.raises(SystemExit, match="wrong differs"):
        run_case(case, 3, lambda words: None)
    assert len(timed) == 1


def test_targets_are_judged_by_what_was_measured():
    def row(case, way, seconds, share=None):
        return {"case": case, "way": way, "seconds": seconds, "share_of_limit": share}

    profile = {"flowcheck": 2.0, "flowcheck --fast": 0.5, "flowcheck, all rows": 3.0, "flowcheck --fast, all rows": 1.0,
               "jax scan of Jacobians": 1.5, "torch batched vjp": 5.0}
    rows = [*(row("profile tanh n=64, 400 lags", way, seconds) for way, seconds in profile.items()),
            row("profile tanh n=64, 400 lags", "flowcheck, all rows, forward pass given", 2.5, 0.4),
            row("profile tanh n=64, 1000 lags, one by one", "flowcheck", 1.0),
            row("profile tanh n=64, 1000 lags, one by one", "torch jacobian per lag", 1999.0),
            row("exponents tanh n=256, 4 steps", "flowcheck", 0.008)]
    memory = [{"what": "streamed probe", "size": f"{steps} steps", "peak_bytes": size} for steps, size in ((100, 10), (10_000, 1000))]
    rule = [{"what": f"a weight and step, {family}: sizes", "nanoseconds": ns}
            for family, ns in (("square", 0.4), ("square", 0.2))]
    rule += [{"what": "forward pass alone, square: sizes", "nanoseconds": ns} for ns in (0.3, 0.18)]
    targets = judged(rows, {"memory": memory, "truncated_rule": rule})
    found = {(t["what"], t["asked"]): (t["measured"], t["met"], t["at_the_limit"], t["all_rows"]) for t in targets}
    assert found == {
        ("truncated rule, ns a weight and step, square", "at most 1.2 largest by smallest"): (2.0, False, pytest.approx(1.6), None),
        ("profile tanh n=64", "at least 1 x JAX scan"): (0.75, False, pytest.approx(1.5), 0.5),
        ("profile tanh n=64 --fast", "at least 1 x JAX scan"): (3.0, True, pytest.approx(1.5), 1.5),
        ("profile tanh n=64", "at least 5 x best torch"): (2.5, False, pytest.approx(5.0), pytest.approx(5 / 3)),
        ("profile tanh n=64 --fast", "at least 5 x best torch"): (10.0, True, pytest.approx(5.0), 5.0),
        ("profile tanh n=64", "at least 2000 x torch lag by lag"): (1999.0, False, None, None),
        ("exponents, n=256", "at most 3 ms a step"): (pytest.approx(2.0), True, None, None),
        ("memory of a streamed probe", "at most 0.5 power of the steps"): (pytest.approx(1.0), False, None, None)}


def test_shares_of_weights_and_units_are_found_again():
    nets = {"square": [(16, 1344), (48, 10_560), (496, 997_952)], "oblong": [(8, 1056), (160, 1_000_320)]}
    exact = {family: [(n, w, 0.25 + 30.0 * n / w) for n, w in points] for family, points in nets.items()}
    assert fast.shares(exact) == pytest.approx((0.25, 30.0, 0.0), abs=1e-12)
    exact["oblong"][1] = (160, 1_000_320, 2 * exact["oblong"][1][2])
    assert fast.shares(exact)[2] > 0.2


def test_slope_of_a_power_law():
    sizes = np.array([1, 2, 4, 8, 16, 32])
    assert slope(sizes, 5e-3 * sizes**1.5) == pytest.approx(1.5)


def test_numbers_of_different_size_must_agree_each_relative_to_its_own():
    numbers = {"large": np.array([1e6, -2e6]), "small": np.array([1e-6])}
    case = fast.relative("sizes", {"ours": lambda: numbers, "wrong": lambda: numbers | {"small": np.array([1.01e-6])}})
    with pytest.raises(SystemExit, match="wrong differs from ours by 1.0e-02"):
        run_case(case, 1, lambda words: None)


@pytest.mark.parametrize(("only", "rooms"), [("", ["cases", "fast", "training"]), ("fast", ["fast"]), ("training on adding", ["training"]),
                                             ("profile", ["cases", "fast", "training"])])
def test_a_word_chooses_the_cases_that_are_made(only, rooms):
    assert [room.__name__.rpartition(".")[2] for room in chosen(only)] == rooms
