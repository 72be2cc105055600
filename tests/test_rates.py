"""Rates with honest intervals: coverage on flows of known rate; verdict, half-life, horizon on exact curves."""

import numpy as np
import pytest
from scipy.special import stdtrit

from flowcheck import rate
from flowcheck.flow import Flow
from flowcheck.flow.norms import LOST_BESIDE_LAG_0

DRAWS = 400


def a_flow(log10_norm, *, floor=-np.inf, norm0=0.0):
    norms = np.atleast_2d(np.asarray(log10_norm, float))
    lags = np.arange(1, norms.shape[1] + 1)
    return Flow(
        "y to y", "full", lags, norms, norms, np.full(norms.shape, floor) if np.ndim(floor) == 0 else floor, norm0
    )


def line(slope, lags, start=0.0):
    return start + slope * np.arange(1, lags + 1)


def walk(rng, slope, lags, sequences, spread, memory):
    """log10 norms whose increments fluctuate about the slope, each with `memory` of the one before."""
    noise = rng.normal(size=(sequences, lags))
    for k in range(1, lags):
        noise[:, k] = memory * noise[:, k - 1] + np.sqrt(1 - memory**2) * noise[:, k]
    return np.cumsum(slope + spread * noise, axis=1)


WALKS = [(-0.1, 200, 1, 0.3, 0.0), (0.02, 60, 4, 0.05, 0.0), (-0.3, 100, 1, 1.0, 0.0), (-0.05, 500, 1, 0.2, 0.5)]


def coverage(interval_of, slope, lags, sequences, spread, memory):
    rng, hits = np.random.default_rng(1997), 0
    for _ in range(DRAWS):
        low, high = interval_of(a_flow(walk(rng, slope, lags, sequences, spread, memory)))
        hits += low <= slope <= high
    return hits / DRAWS


def least_squares_interval(flow):
    """The textbook 95 % interval of a straight line, which takes the residuals for independent."""
    lags, y = np.broadcast_to(flow.lags, flow.log10_norm.shape).ravel(), flow.log10_norm.ravel()
    centred = lags - lags.mean()
    slope = centred @ y / (centred @ centred)
    residuals = y - y.mean() - slope * centred
    half = stdtrit(len(y) - 2, 0.975) * np.sqrt(residuals @ residuals / (len(y) - 2) / (centred @ centred))
    return slope - half, slope + half


@pytest.mark.parametrize("setting", WALKS, ids=["walk", "four-sequences", "wild", "with-memory"])
def test_ninety_five_percent_intervals_cover(setting):
    # 400 draws of 0.95 have a standard deviation of 0.011
    assert 0.90 <= coverage(lambda flow: rate(flow).interval, *setting) <= 0.99


@pytest.mark.parametrize("setting", WALKS[:1] + WALKS[3:], ids=["walk", "with-memory"])
def test_the_interval_of_a_least_squares_line_covers_badly(setting):
    assert coverage(least_squares_interval, *setting) < 0.5


def test_the_interval_narrows_with_the_number_of_lags():
    rng = np.random.default_rng(1997)
    widths = [np.ptp(rate(a_flow(walk(rng, -0.1, lags, 1, 0.3, 0.0))).interval) for lags in (100, 10_000)]
    assert widths[1] < widths[0] / 4


@pytest.mark.parametrize(
    ("slope", "verdict"),
    [
        (-0.5, "vanishing"),
        (-0.02, "vanishing"),
        (-0.01, "sustained"),
        (0.0, "sustained"),
        (0.01, "sustained"),
        (0.02, "exploding"),
        (0.5, "exploding"),
    ],
)
def test_verdict_of_a_straight_curve(slope, verdict):
    found = rate(a_flow(line(slope, 100)))  # sustained: a factor below 10 over 90 lags is 0.011 a lag
    assert found.verdict == verdict
    assert found.per_step == pytest.approx(slope, abs=1e-14)
    assert found.interval[0] - 1e-14 <= slope <= found.interval[1] + 1e-14
    assert np.ptp(found.interval) < 1e-12


def test_a_noisy_curve_whose_interval_holds_zero_is_sustained():
    noisy = a_flow(walk(np.random.default_rng(3), 0.0, 100, 1, 1.0, 0.0))
    assert np.ptp(noisy.log10_norm) > np.log10(2)
    assert rate(noisy).verdict == "sustained"


@pytest.mark.parametrize("after", [-np.inf, -30.0], ids=["exactly zero", "far down"])
def test_what_is_gone_at_the_last_lag_is_not_sustained(after):
    """However uncertain the rate is over the lags before; what is lost on the way and comes back may be."""
    first = np.array([0.0, -0.4, 0.3, -0.2, 0.4, -0.3, 0.2, -0.1, 0.3, 0.0])
    gone = rate(a_flow([np.append(first, np.full(30, after))]))
    assert (gone.verdict, gone.horizon, gone.half_life) == ("vanishing", 10, None) and gone.interval[0] < 0 < gone.interval[1]
    back = rate(a_flow([np.concatenate([first, np.full(5, -8.0), first])]))
    assert (back.verdict, back.horizon) == ("sustained", 10)


@pytest.mark.parametrize("half_life", [1.0, 3.0, 12.5])
def test_half_life_is_the_lags_in_which_the_norm_halves(half_life):
    assert rate(a_flow(line(-np.log10(2) / half_life, 200))).half_life == pytest.approx(half_life, rel=1e-12)


def test_what_does_not_decay_has_no_half_life():
    assert rate(a_flow(line(0.1, 50))).half_life is None
    assert rate(a_flow(np.zeros(50))).half_life is None


@pytest.mark.parametrize("norm0", [0.0, 2.5])
def test_horizon_is_the_last_lag_that_float32_keeps_beside_lag_0(norm0):
    assert LOST_BESIDE_LAG_0 == 2.0**-24
    halving = a_flow(line(-np.log10(2) / 2, 100, norm0 + 1e-9), norm0=norm0)  # 2^-24 is reached at lag 48
    assert rate(halving).horizon == 48


def test_horizon_beyond_the_measured_lags_is_not_given():
    assert rate(a_flow(line(-np.log10(2) / 2, 48, 1e-9))).horizon is None
    assert rate(a_flow(line(0.1, 30))).horizon is None


def test_horizon_is_zero_where_lag_1_is_already_lost():
    assert rate(a_flow(line(-8.0, 20))).horizon == 0


def test_horizon_is_where_the_flow_is_first_lost_though_it_comes_back():
    norms = line(-0.01, 60)
    norms[20] = -9.0
    assert rate(a_flow(norms)).horizon == 20


@pytest.mark.parametrize("outlier", [line(-8.0, 60), np.full(60, -np.inf), np.where(np.arange(60) < 2, -0.1, -np.inf)],
                         ids=["at once", "zero", "zero from lag 3"])
def test_one_sequence_whose_flow_is_gone_does_not_hide_that_of_the_others(outlier):
    others = [line(-0.2 - 0.02 * k, 60) for k in range(5)]
    found, alone = rate(a_flow([outlier, *others])), rate(a_flow(others))
    assert (found.per_step, found.interval, found.verdict) == (alone.per_step, alone.interval, "vanishing")
    assert found.horizon == alone.horizon == 30  # of the rate in the middle: 7.22 decades at 0.24 a step
    flow = a_flow([outlier, *others])
    assert flow.kept.tolist() == [False, True, True, True, True, True]
    assert np.array_equal(flow.pooled, np.mean(others, axis=0))


def test_the_horizon_is_that_of_half_of_the_sequences():
    ends = [4, 8, 9, 20, 21, 23]  # lags from which a flow is zero
    flow = a_flow([np.where(np.arange(1, 31) < end, 0.0, -np.inf) for end in ends])
    assert rate(flow).horizon == 19
    assert flow.kept.tolist() == [False, True, True, True, True, True] and flow.above_floor == 7
    assert rate(a_flow(flow.log10_norm[:5])).horizon == 8


def test_sequences_that_lose_their_flow_alike_all_count():
    norms = [line(-0.2, 60), line(-0.3, 60), line(-0.35, 60)]
    assert a_flow(norms).kept.all() and np.array_equal(a_flow(norms).pooled, np.mean(norms, axis=0))
    assert a_flow(np.full((3, 9), -np.inf)).kept.all()


def test_an_all_zero_flow_vanishes_without_a_rate():
    found = rate(a_flow(np.full(30, -np.inf)))
    assert (found.per_step, found.interval, found.half_life, found.fitted) == (None, None, None, None)
    assert (found.verdict, found.horizon) == ("vanishing", 0)


def test_a_flow_that_is_zero_after_one_lag_has_no_rate():
    norms = np.full(30, -np.inf)
    norms[0] = -0.5
    found = rate(a_flow(norms))
    assert (found.per_step, found.verdict, found.horizon, found.fitted) == (None, "vanishing", 1, None)


@pytest.mark.parametrize(("norm", "verdict"), [(-0.3, "sustained"), (-np.inf, "vanishing"), (-20.0, "vanishing")])
def test_one_lag_gives_no_rate_and_vanishes_only_where_it_is_lost(norm, verdict):
    found = rate(a_flow(np.array([norm]), floor=-15.5))
    assert (found.per_step, found.interval, found.verdict) == (None, None, verdict)


def test_the_fit_stops_at_the_rounding_floor():
    norms = np.maximum(line(-1.0, 60), -20.0)
    found = rate(a_flow(norms, floor=-15.5))
    assert found.fitted == (2, 15)
    assert found.per_step == pytest.approx(-1.0, abs=1e-13)
    assert rate(a_flow(norms)).per_step > -0.5


def test_the_fit_leaves_out_the_first_tenth():
    norms = np.concatenate([line(-5.0, 10), -50.0 + line(-0.1, 90)])
    found = rate(a_flow(norms))
    assert found.fitted == (11, 100) and found.per_step == pytest.approx(-0.1, abs=1e-13)


def test_one_sequence_below_the_floor_ends_the_fit_of_all():
    norms, floor = np.tile(line(-0.5, 40), (2, 1)), np.full((2, 40), -100.0)
    floor[1, 25:] = 0.0
    assert rate(a_flow(norms, floor=floor)).fitted[1] == 25


def test_two_lags_give_one_increment_and_three_a_spread():
    assert rate(a_flow([-1.0, -2.0])).per_step == pytest.approx(-1.0)
    three = rate(a_flow([-1.0, -2.0, -4.0]))
    assert three.per_step == pytest.approx(-1.5) and three.interval[0] <= -2.0 and three.interval[1] >= -1.0


def test_one_increment_is_no_evidence_of_anything():
    low, high = rate(a_flow([-1.0, -2.0])).interval
    assert low < -1.0 < high
