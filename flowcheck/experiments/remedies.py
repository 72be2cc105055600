"""What the abuse study found: every condition with its intervals, and whether a remedy of section 4 did what it is said to do."""

from functools import cache

import numpy as np

from .abuse import CONDITIONS, EXPERIMENTS

__all__ = ["EARLY", "MEASURES", "study"]

EARLY = 10_000
"""Training sequences up to which a look counts as early: every net is still learning then."""
CONFIDENCE, RESAMPLES = 0.95, 9_999


def _early(outcome, count):
    """Mean of count(look) over the early looks of one net."""
    return float(np.mean([count(look) for look in outcome["looks"] if look["sequences"] <= EARLY]))


MEASURES = {
    "sequences": ("training sequences until success or the budget's end (log10)", lambda o: float(np.log10(o["sequences"]))),
    "biases": ("cells that serve as biases, early", lambda o: _early(o, lambda k: len({*k["bias-cell"], *k["constants"]}))),
    "redundant": ("redundant cells, early", lambda o: _early(o, lambda k: len(k["redundant-cell"]))),
    "drifting": ("drifting cells, early", lambda o: _early(o, lambda k: len(k["state-drift"]))),
    "slope": ("slope h'(s) at the last step, as a share of its largest value, early", lambda o: _early(o, lambda k: np.mean(k["slope"]))),
    "drifting_end": ("drifting cells in the final net", lambda o: float(len(o["looks"][-1]["state-drift"]))),
    "flow": ("log10 of the final net's truncated flow over the task's least lag", lambda o: o["looks"][-1]["flow"]),
}
"""Name: (words, its number of one net's outcome; None where there is none)."""

REMEDIES = {
    "output gates": ((("neither", "output gates"), ("input gates", "both")), {"biases": -1, "redundant": -1, "sequences": -1}),
    "input gates": ((("neither", "input gates"), ("output gates", "both")), {"drifting": -1, "slope": 1, "sequences": -1}),
}
"""Gates with negative biases: (pairs of conditions without and with them, {measure: sign of the change that section 4 leads to expect})."""


def study(outcomes):
    """[{"experiment", "lag", "conditions", "remedies"}] of {experiment: {condition: [outcome by seed]}}.

    Intervals are 95 %: Clopper and Pearson's for shares, the bootstrap over seeds for means. A remedy is compared within pairs of nets of
    the same seed that differ in it alone, means over both levels of the other; it is "confirmed" where the interval of the mean change
    lies on the expected side of zero, "contradicted" on the other, else "not shown".
    """
    return [{"experiment": e, "lag": EXPERIMENTS[e], "conditions": [_condition(name, found[name]) for name in CONDITIONS],
             "remedies": [_remedy(gates, found) for gates in REMEDIES]} for e, found in outcomes.items()]


def _condition(name, outcomes):
    from scipy.stats import binomtest

    def share(count):
        test = binomtest(count, len(outcomes)).proportion_ci(CONFIDENCE, "exact")
        return {"count": count, "interval": [float(test.low), float(test.high)]}

    touched = {rule: share(sum(any(look[rule] for look in o["looks"] if look["sequences"] <= EARLY) for o in outcomes))
               for rule in ("bias-cell", "constants", "redundant-cell", "state-drift")}
    return {"condition": name, "nets": len(outcomes), "solved": share(sum(o["success"] for o in outcomes)), "nets_with_early": touched,
            "median_sequences": float(np.median([o["sequences"] for o in outcomes])),
            "means": {name: _mean([of(o) for o in outcomes]) for name, (_, of) in MEASURES.items()}}


@cache
def _resamples(count):
    """Numbers of the values in every resample of `count` values; the same for every mean."""
    return np.random.default_rng(0).integers(0, count, (RESAMPLES, count))


def _mean(values):
    """{"mean", "interval"} of the values that are numbers."""
    values = np.array([v for v in values if v is not None], float)
    if not len(values):
        return {"mean": None, "interval": None}
    resampled = values[_resamples(len(values))].mean(axis=1)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"mean": float(values.mean()), "interval": [float(low), float(high)]}


def _remedy(gates, found):
    pairs, expected = REMEDIES[gates]
    changes = []
    for name, sign in expected.items():
        of = MEASURES[name][1]
        per_seed = np.mean([[of(b) - of(a) for a, b in zip(found[one], found[other], strict=True)] for one, other in pairs], axis=0)
        change = _mean(per_seed)
        low, high = sorted(sign * np.array(change["interval"]))
        verdict = "confirmed" if low > 0 else "contradicted" if high < 0 else "not shown"
        changes.append({"measure": name, "expected": "more" if sign > 0 else "less", **change, "verdict": verdict})
    return {"gates": gates, "changes": changes}
