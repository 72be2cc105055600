"""What a check leaves behind: its verdict with evidence, and the exception that a broken promise raises."""

from dataclasses import asdict, dataclass, replace

import numpy as np

__all__ = ["Check", "Mismatch", "compare", "compare_at_lags"]


@dataclass(frozen=True)
class Check:
    """One check. error, tolerance and detectable are relative to the size of what is compared (at its lag, for flows).

    verdict        "pass", "fail", or "inconclusive": the reference cannot tell
    first_bad_lag  the first lag at which the error exceeds the tolerance; None without lags
    term           which derivative, path or entry is wrong
    detectable     the smallest relative mistake that this check could have caught (at its worst lag)
    words          one line for people
    """

    id: str
    rung: str
    verdict: str
    equation: str = ""
    cell: str = ""
    first_bad_lag: int | None = None
    term: str = ""
    error: float | None = None
    tolerance: float | None = None
    detectable: float | None = None
    words: str = ""

    def as_json(self):
        """A dict of JSON values; numbers that are not finite become null."""
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(self).items()}


class Mismatch(AssertionError):
    """A check failed; `check` holds the evidence."""

    def __init__(self, check):
        super().__init__(check.words)
        self.check = check


def compare(check, got, reference, tolerance, *, size=None, term=""):
    """Compare arrays relative to the size of the reference (its largest |entry| unless given): the passed Check, or Mismatch.

    Raises Mismatch with the worst entry when any |got - reference| > tolerance * size, when shapes differ, or where got is not finite.
    """
    got, reference = np.asarray(got), np.asarray(reference)
    if got.shape != reference.shape:
        raise Mismatch(replace(check, verdict="fail", term=term, tolerance=tolerance,
                               words=f"{check.id}: {term or 'result'} has shape {got.shape}, expected {reference.shape}"))
    size = np.abs(reference).max(initial=0.0) if size is None else size
    if not (np.isfinite(size) and np.isfinite(reference).all()):
        raise Mismatch(replace(check, verdict="fail", term=term, tolerance=tolerance,
                               words=f"{check.id}: {term or 'result'}: the reference is not finite, so nothing can be compared with it"))
    difference = np.abs(got - reference)
    largest = float(difference.max(initial=0.0))  # not a number where `got` is none: no tolerance allows it
    error = float(largest / size) if size > 0 else np.inf if largest else 0.0
    if not error <= tolerance:
        worst = np.unravel_index(np.argmax(np.where(np.isfinite(difference), difference, np.inf)), got.shape)
        place = f" at {list(map(int, worst))}" if worst else ""
        lag = "" if check.first_bad_lag is None else f", lag {check.first_bad_lag}"
        words = (f"{check.id}{lag}: {term or 'result'}{place}: got {got[worst]:.9g}, expected {reference[worst]:.9g} "
                 f"(relative {error:.1e}, allowed {tolerance:.1e})")
        raise Mismatch(replace(check, verdict="fail", term=term, error=error, tolerance=tolerance, detectable=tolerance, words=words))
    return replace(check, error=error, tolerance=tolerance, detectable=tolerance)


def compare_at_lags(check, got, reference, tolerance, lags, *, size=None, term=""):
    """`compare` entry k of two stacks, which belongs to lags[k]; the first that fails raises. Tolerances and sizes: one, or one per lag."""
    got, reference, tolerance = np.asarray(got), np.asarray(reference), np.broadcast_to(tolerance, len(lags))
    entries = tuple(range(1, reference.ndim))
    size = np.broadcast_to(np.abs(reference).max(axis=entries, initial=0.0) if size is None else size, len(lags))
    largest = np.abs(got - reference).max(axis=entries, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(size > 0, largest / size, np.where(largest != 0, np.inf, 0.0))
    bad = ~(error <= tolerance) | ~np.isfinite(size) | ~np.isfinite(reference).all(axis=entries)
    if bad.any():
        k = int(bad.argmax())
        return compare(replace(check, first_bad_lag=int(lags[k])), got[k], reference[k], tolerance[k], size=size[k], term=term)
    widest = float(tolerance.max())
    return replace(check, error=float(error.max()), tolerance=widest, detectable=widest)
