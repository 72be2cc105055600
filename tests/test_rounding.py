"""Tolerances: the bound on rounding holds for right nets, however saturated, and a mistake just above it is caught."""

import numpy as np
import pytest
from test_check_gradient import flipped_from, rnn_backward, rnn_forward, rnn_problem, verify_rnn

from benchmarks.detection.grid import Case, right_net
from benchmarks.detection.nets import NETS
from flowcheck import verify_gradient
from flowcheck.differences import extrapolated_differences
from flowcheck.verify.arguments import Arguments, Functions
from flowcheck.verify.perturbed import AMPLITUDE, Perturbed, perturbed, perturbed_arithmetic
from flowcheck.verify.rounding import Rounding, factor, of_neighbours, rounding_of

EPS = np.finfo(float).eps
CHANCE = 0.05


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0], [1.0, -1.0, 0.01], np.ones(40), np.geomspace(1, 1e-3, 12)],
                         ids=["one", "two-equal", "cancelling", "forty", "uneven"])
@pytest.mark.parametrize("runs", [1, 2, 8])
def test_rounding_exceeds_its_bound_no_more_often_than_said(runs, weights):
    """Roundings as bad as Hoeffding's inequality allows, +-eps each, against perturbed runs of the same first-order sum."""
    rng, weights, trials = np.random.default_rng(runs), np.asarray(weights), 4000
    error = rng.choice([-1.0, 1.0], (trials, len(weights))) @ weights
    xi = (1 + np.abs(rng.standard_normal((trials, runs, len(weights))))) * rng.choice([-1.0, 1.0], (trials, runs, len(weights)))
    bound = factor(runs, CHANCE) * np.sqrt(np.mean((xi @ weights) ** 2, axis=1))
    assert np.mean(np.abs(error) > bound) <= CHANCE


def spread(compute, *arrays, runs=40):
    """Root mean square of what perturbed arithmetic does to a computation, in eps of its value."""
    right, found = compute(*arrays), []
    for seed in range(runs):
        with perturbed_arithmetic(np.random.default_rng(seed), EPS):
            found.append(compute(*(perturbed(a) for a in arrays)) - right)
    return np.sqrt(np.mean(np.square(found), axis=0)) / (AMPLITUDE * EPS)


def in_place(a, b):
    c = np.zeros(3)
    c += a * b
    np.add.at(c, [0, 1, 2], a)
    np.multiply(c, b, out=c)
    return float(c.sum())


a, b, W = (np.random.default_rng(4).normal(size=s) for s in (3, 3, (3, 3)))
COMPUTATIONS = {
    "sum that cancels": (lambda a: (a - a[::-1]).sum() + 1.0, (a,)), "product": (lambda a, b: a * b, (a, b)),
    "matmul": (lambda W, a: W @ a, (W, a)), "dot": (lambda a, b: a.dot(b), (a, b)), "in place": (in_place, (a, b)),
    "einsum": (lambda W, a: np.einsum("ij,j->i", W, a), (W, a)), "stacked": (lambda a, b: np.stack([a, b]) ** 2, (a, b)),
    "made plain": (lambda a: np.asarray(a) * 2, (a,)),
    "copied": (lambda a: np.array(a, dtype=float).copy() * 2, (a,)), "a list": (lambda a: np.array([v * v for v in a]), (a,)),
    "two results": (lambda a: np.divmod(a, 0.3)[1], (a,)), "transcendental": (np.tanh, (a,)),
}


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_every_operation_is_perturbed(name):
    compute, arrays = COMPUTATIONS[name]
    assert np.all(spread(compute, *arrays) > 0.1 * np.abs(compute(*arrays)))


def test_a_slope_of_a_saturated_unit_shows_its_rounding():
    """1 - y^2 with y = 1 - 1e-12 has lost twelve digits; moving the argument by a unit of rounding would not show it."""
    z = np.array([14.2])
    slope = lambda z: 1 - np.tanh(z) ** 2  # noqa: E731
    assert spread(slope, z)[0] * EPS > EPS  # in absolute numbers an eps of y, which is
    assert EPS / slope(z)[0] > 1e-5
    assert abs(slope(z * (1 + EPS)) - slope(z))[0] < EPS


def test_what_nothing_rounds_stays_plain():
    flags, whole = np.array([0.0, 1.0, 1.0]), np.array([3, 4])
    with perturbed_arithmetic(np.random.default_rng(0), EPS):
        assert type(perturbed(flags)) is type(perturbed(whole)) is np.ndarray
        moved = perturbed(np.array([0.3, -0.7]))
        assert isinstance(moved, Perturbed) and np.array_equal(np.abs(-moved), np.abs(moved))
        assert isinstance(moved > 0, np.ndarray) and not isinstance(moved > 0, Perturbed) and np.floor(moved)[1] == -1
        coarse = moved.astype(np.float32)
        assert np.array_equal(coarse * coarse, np.square(np.float32(coarse)))  # a coarser precision inside is not excused


SATURATED = [("gru", 4, 20.3), ("gru", 58, 49.4), ("gru_reset_before", 17, 34.0),
             ("tanh", 42, 54.3)]


@pytest.mark.parametrize(("name", "seed", "radius"), SATURATED, ids=[f"{n}-{r}" for n, _, r in SATURATED])
def test_a_right_backward_pass_of_saturated_gates_is_not_called_wrong(name, seed, radius):
    net = NETS[name]
    problem = net.arguments(np.random.default_rng(seed), 4, 3, 6, radius)
    verification = verify_gradient(net.forward, net.backward, *problem, time_axis=0)
    assert verification.verdict != "fail", str(verification)


def single(function):
    def cast(group):
        return {k: v.astype(np.float32) for k, v in group.items()}
    return lambda *groups: cast(function(*map(cast, groups)))


def test_a_right_net_in_single_precision_throughout_passes_and_says_what_it_could_not_see():
    """What rounding does to forward grows over the steps of an expanding net, and so does the error of a difference."""
    net, forward, backward, _, dtype, arguments = right_net(178, 1965)
    verification = verify_gradient(forward, backward, *arguments, time_axis=0, hard=False)
    assert (net.name, dtype) == ("gru", "float32 throughout") and verification.verdict == "pass", str(verification)
    steps = len(arguments[1]["x"])
    assert 0 in verification.detectable["x"] and steps - 1 not in verification.detectable["x"]
    assert "not seen: " in str(verification) and "only coarse" in str(verification)


def test_in_single_precision_throughout_a_mistake_is_caught_at_every_lag_that_is_seen():
    problem, forward = rnn_problem(0.6, 6), single(rnn_forward)
    right = verify_rnn(problem, single(rnn_backward), forward)
    seen = sorted(right.detectable["x"])
    assert right.verdict == "pass" and len(seen) > 2 and 5 not in seen and "5 (the reference" in right.unseen["x"]
    for lag in seen:
        caught = verify_rnn(problem, single(flipped_from(lag)), forward)
        assert caught.verdict == "fail" and caught.findings[0].lag == lag, str(caught)
    late = single(flipped_from(5))
    assert verify_rnn(problem, late, forward).verdict == "pass"
    assert verify_rnn(problem, late, forward, hard=True).verdict == "fail"  # where the flow is even, lag 5 is seen


@pytest.mark.parametrize("steepness", [1e3, 1e5, 1e7])
def test_differences_that_are_too_wide_for_a_function_do_not_trust_themselves(steepness):
    """A bounded function looks flat over steps wider than its slope: all of these differences agree with each other, and are wrong."""
    for eps in (EPS, float(np.finfo(np.float32).eps)):
        x = np.array([0.0, 0.3, 1.0]) / steepness
        f = lambda v: {"y": np.tanh(steepness * v["x"]) + 0.1}  # noqa: E731
        found, error = extrapolated_differences(f, {"x": x}, {"x": np.ones(3)}, eps)
        right = steepness / np.cosh(steepness * x) ** 2
        assert np.all(np.abs(found["y"] - right) < 3 * error["y"])


def test_differences_of_a_chaotic_function_do_not_trust_themselves():
    """All steps are too wide, and the differences are random; that rounding moves the function by 2 % tells."""
    eps, slope = float(np.finfo(np.float32).eps), 3e5
    f = lambda v: {"y": np.sin(slope * v["x"])}  # noqa: E731
    for x in np.random.default_rng(0).normal(size=20):
        found, error = extrapolated_differences(f, {"x": np.array([x])}, {"x": np.ones(1)}, eps, noise={"y": np.array([slope * eps])})
        assert abs(found["y"][0] - slope * np.cos(slope * x)) < 3 * error["y"][0]


@pytest.mark.parametrize("distance", [1e-6, 1e-4, 1e-2])
def test_differences_across_a_kink_say_so(distance):
    """Differences over steps that reach beyond the kink agree with each other on the mean of the two slopes."""
    eps = float(np.finfo(np.float32).eps)
    f = lambda v: {"y": np.maximum(v["x"], 0.0) + v["x"]}  # noqa: E731
    found, error = extrapolated_differences(f, {"x": np.array([distance])}, {"x": np.ones(1)}, eps)
    assert abs(found["y"][0] - 2) < 3 * error["y"][0]


@pytest.mark.parametrize(("precision", "gain", "above"), [("float64", 0.9, 1.05), ("float64", 8.0, 3.0), ("float32", 0.9, 3.0)],
                         ids=["float64", "saturated", "float32"])
def test_a_mistake_just_above_the_tolerance_is_caught(precision, gain, above):
    """Where rounding is measured the bound is one sample of a random number, so that it is another in the second check: three times it."""
    problem, backward = rnn_problem(gain, 20), single(rnn_backward) if precision == "float32" else rnn_backward
    right = verify_rnn(problem, backward)
    assert right.verdict == "pass"
    for lag in (2, 18):
        def wrong(*given, lag=lag):
            grads = backward(*given)
            grads["x"][19 - lag] *= 1 + above * right.detectable["x"][lag]
            return grads

        caught = verify_rnn(problem, wrong)
        assert caught.verdict == "fail" and caught.findings[0].lag == lag, str(caught)


def test_a_backward_that_takes_no_other_arrays_gets_perturbed_arguments():
    def strict(params, inputs, state0, grad_outputs):
        if any(type(v) is not np.ndarray for v in params.values()):
            raise TypeError("an array of NumPy's own, please")
        return rnn_backward(params, inputs, state0, grad_outputs)

    problem = rnn_problem(0.9, 6)
    arguments, rng = Arguments.read(*problem, 0), np.random.default_rng(0)
    errors = {"y": np.ones((6, 4))}
    along = lambda grads: [float(grads["Wh"].sum())]  # noqa: E731
    for backward, inside in ((rnn_backward, True), (strict, False)):
        rounding = rounding_of(Functions(rnn_forward, backward, 0), arguments, errors, rng)
        assert 0 < rounding.bound(along, enough=np.inf) < 1e-3 and rounding.inside is inside
    assert verify_rnn(problem, strict).verdict == "pass"


def test_samples_too_far_to_be_squared_still_count():
    rounding = Rounding({"w": np.array([1e-180])}, samples=[{"w": np.array([1.5e-180])}] * 4)
    assert rounding.bound(lambda g: [float(g["w"][0])]) == pytest.approx(factor(4) / AMPLITUDE * 0.5e-180)


@pytest.mark.parametrize(("errors", "excused"), [("rounding", True), ("mistake", False), ("large", False)])
def test_neighbours_tell_rounding_from_a_mistake(errors, excused):
    rng = np.random.default_rng(1)
    size = {"rounding": 1e-6, "mistake": 1e-6, "large": 1e-2}[errors]
    again = {"mistake": lambda trial: size * (1 + 0.01 * rng.normal())}.get(errors, lambda trial: size * rng.normal())
    arguments = Arguments.read(*rnn_problem(0.9, 3), 0)
    assert (of_neighbours(size, again, arguments, rng) > size) is excused


def test_the_first_lag_of_a_weight_is_named_where_rounding_hides_it_on_the_arguments_given():
    """The part of lag 30 is below the rounding of the whole sum there, that of lag 31 is not: evenly flowing arguments tell."""
    case = Case("conventional", "dE/dWx", "dropped", 30, "expanding", 1965)
    found = verify_gradient(NETS[case.net].forward, case.backward, *case.arguments(), time_axis=0)
    assert [(f.entry, f.lag) for f in found.findings] == [("Wx", 30)], str(found)


@pytest.mark.parametrize("kind, first", [("slope late", 5), ("a thousandth more", 1)])
def test_a_mistake_that_inputs_show_a_lag_late_is_named_by_the_weights(kind, first):
    """What a unit reads of its own last state only: the weights of a step, and the inputs of the step before."""
    case = Case("gru", "d n / d net_m", kind, first, "near one", 1965)
    found = verify_gradient(NETS[case.net].forward, case.backward, *case.arguments(), cell="gru", time_axis=0)
    lags = {f.entry: f.lag for f in found.findings}
    assert (lags["x"], lags["Un"], lags["bm"]) == (first + 1, first, first), str(found)
