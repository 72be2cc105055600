"""The norms of a flow over lag, and over which lags a sequence has one."""

from dataclasses import dataclass, field, replace

import numpy as np

from .scaled import frobenius, largest_entry

__all__ = ["LOST_BESIDE_LAG_0", "Flow", "end_and_lags", "kept_sequences", "norm_row", "of_one_sequence", "usable_lags"]

LOST_BESIDE_LAG_0 = 2.0**-24
"""Half an ulp of float32: a contribution this small, added to one of size 1 in float32, changes nothing."""


@dataclass(frozen=True, repr=False)
class Flow:
    """Norms of one flow over lag, one row per sequence.

    lags         (L,) ints, ascending
    log10_norm   (sequences, L) log10 of the Frobenius norm, -inf where the flow is exactly zero
    log10_entry  (sequences, L) log10 of the largest |entry|, nan where it is not known (`state_flow`)
    log10_floor  (sequences, L) log10 of what rounding alone can leave there; a norm below it is not a number to trust
    log10_norm0  that of the norm at lag 0, the mean over the sequences kept; log10_norms0: of each, where they differ
    gradient     "full" or "truncated"
    quantity     what flows where, e.g. "state-to-state"
    """

    quantity: str
    gradient: str
    lags: np.ndarray
    log10_norm: np.ndarray
    log10_entry: np.ndarray
    log10_floor: np.ndarray
    log10_norm0: float = 0.0
    layer: str = ""
    bounds: dict = field(default_factory=dict)
    log10_norms0: np.ndarray | None = None

    def __repr__(self):
        where = f"{self.layer}: " if self.layer else ""
        return f"<Flow {where}{self.quantity}, {self.gradient}, {len(self.lags)} lags to {self.lags[-1]}, {len(self.log10_norm)} sequences>"

    @property
    def there(self):
        """(sequences, L) whether a flow counts beside that at lag 0: it is at least LOST_BESIDE_LAG_0 of it, and not zero."""
        return _there(self.log10_norm, self.log10_norm0 if self.log10_norms0 is None else self.log10_norms0[:, None])

    @property
    def kept(self):
        """(sequences,) which of them count in means, see `kept_sequences`."""
        return _kept(self.there)

    @property
    def pooled(self):
        """(L,) mean over the sequences kept of log10 norms (the geometric mean of the norms)."""
        with np.errstate(invalid="ignore"):
            return self.log10_norm[self.kept].mean(axis=0)

    @property
    def relative(self):
        """(L,) `pooled` relative to the norm at lag 0; -inf where the flow is exactly zero, at lag 0 as well or not."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(self.pooled), -np.inf, self.pooled - self.log10_norm0)

    @property
    def above_floor(self):
        """How many lags, from the first on, stay above the rounding floor in every sequence kept."""
        return int(_first_false((self.log10_norm > self.log10_floor)[self.kept]).min())

    @staticmethod
    def stack(flows):
        """One Flow from flows of single sequences over the same lags."""
        rows = {k: np.concatenate([getattr(f, k) for f in flows]) for k in ("log10_norm", "log10_entry", "log10_floor")}
        bounds = {k: np.max([f.bounds[k] for f in flows], axis=0) for k in flows[0].bounds}
        whole = replace(flows[0], **rows, bounds=bounds, log10_norms0=np.array([f.log10_norm0 for f in flows]))
        return replace(whole, log10_norm0=float(whole.log10_norms0[whole.kept].mean()))


def kept_sequences(log10_norm, log10_norm0):
    """(sequences,) whether the flow of a sequence counts at least half as far back as that of the median one, from (sequences, L) norms.
    One sequence whose flow is gone at once would hide that of all others: a mean of logarithms follows the smallest."""
    return _kept(_there(log10_norm, log10_norm0))


def _there(norms, norms0):
    return (norms >= norms0 + np.log10(LOST_BESIDE_LAG_0)) & ~np.isneginf(norms)


def _kept(there):
    reach = _first_false(there)
    return 2 * reach >= np.sort(reach)[(len(reach) - 1) // 2]


def _first_false(rows):
    """Index of the first False of each row; its length where there is none."""
    return np.where(rows.all(axis=1), rows.shape[1], np.argmin(rows, axis=1))


def norm_row(matrix, floor, exponent):
    return frobenius(matrix), largest_entry(matrix), floor, exponent


def of_one_sequence(quantity, cut, measured, norm0):
    """A Flow of one sequence from (norm, largest entry, floor, exponent) of lags 1, 2, ..."""
    norm, entry, floor, exponent = np.array(measured, float).T
    with np.errstate(divide="ignore"):
        logs = [(np.log10(v) + exponent * np.log10(2.0))[None] for v in (norm, entry, floor)]
        return Flow(quantity, "truncated" if cut else "full", np.arange(1, len(norm) + 1), *logs, float(np.log10(float(norm0))))


def end_and_lags(trajectory, end, lags):
    """(end step, lags) with the last step as default. Raises ValueError for lags that the sequence does not have."""
    end = trajectory.steps - 1 if end is None else end
    if not 0 <= end < trajectory.steps:
        raise ValueError(f"end step {end} is not in 0 ... {trajectory.steps - 1}")
    lags = int(lags)
    if lags < 1:
        raise ValueError(f"{lags} lags: at least 1 is needed")
    if lags > end + 1:
        raise ValueError(f"{lags} lags back from step {end} need {lags - 1} earlier steps; the sequence has {end}")
    return end, lags


def usable_lags(lags, lengths):
    """(how many of `lags` are measured, fewest steps of a sequence that flow is measured along), from how many steps each sequence has.

    Sequences that reach less than half as far as the longest are left out; the lags are those that all the others reach. A sequence does
    not reach its first step: there the initial state's zeros hide paths. 0 lags where none has two steps.
    """
    reach = [(min(lags, max(steps - 2, 1)) if steps > 1 else 0, steps) for steps in lengths]
    return min(one for one in reach if 2 * one[0] >= max(reach)[0])
