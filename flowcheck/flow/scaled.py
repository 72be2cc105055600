"""A product of many matrices carried as matrices times a power of two, with an estimate of what rounding has left in it.

Knows nothing of cells: it is handed the next matrices and keeps their scale, norms and rounding floor.
"""

import math

import numpy as np

__all__ = ["Scaled", "frobenius", "largest_entry"]

ROUNDING = 1000 * np.finfo(float).eps
"""What one step may leave of its largest intermediate. One random row estimates how errors travel to within a factor of some hundreds
(measured on nilpotent nets against 50 digits), which the 1000 covers; a flow that it hides has three digits left at most."""


def frobenius(matrix):
    """Frobenius norm: one BLAS dot, no temporary; scaled first where squares would leave the range of float64."""
    flat = matrix.ravel()
    with np.errstate(over="ignore"):
        square = flat @ flat
    if 1e-280 < square < 1e280:
        return math.sqrt(square)
    scale = largest_entry(flat)
    return scale and scale * math.sqrt((flat / scale) @ (flat / scale))


def joint_norm(norms):
    """Norm of matrices side by side from their norms."""
    return math.hypot(*norms)


def largest_entry(matrix):
    """Largest |entry|."""
    return max(matrix.max(initial=0.0), -matrix.min(initial=0.0))


class Scaled:
    """Rows of errors at the states, as matrices times 2**exponent, with one random row that shows how rounding errors travel.

    floor is in the same units as the matrices: an upper estimate of what rounding has left in them. It grows or decays as
    a generic error does (the random row) and gains 1000 eps times the largest intermediate of each step.
    """

    def __init__(self, rows, rng):
        scale = math.sqrt(sum(r.shape[-1] for r in rows.values()))
        probed = {name: np.vstack([m, rng.normal(size=(1, m.shape[-1])) / scale]) for name, m in rows.items()}
        self.exponent, self.floor = 0, 0.0
        self._take(probed)

    def _take(self, rows):
        self.rows = rows
        self.norms = {name: frobenius(m[:-1]) for name, m in rows.items()}
        self.probe_norm = joint_norm(frobenius(m[-1]) for m in rows.values())
        self.largest = max((largest_entry(m[:-1]) for m in rows.values()), default=0.0)

    def advance(self, rows, intermediate):
        """Take the rows one step further back; `intermediate` is the norm of what was added up on the way."""
        before = self.probe_norm
        self._take(rows)
        self.floor = self.floor * (self.probe_norm / before if before > 0 else 0.0) + ROUNDING * intermediate
        shift = math.frexp(self.largest)[1]
        if abs(shift) > 64 and self.largest > 0:
            floor = math.ldexp(self.floor, -shift)
            self._take({k: np.ldexp(m, -shift) for k, m in rows.items()})
            self.floor, self.exponent = floor, self.exponent + shift

    @property
    def measured(self):
        """(norm, largest entry, floor, exponent) of all rows together."""
        return joint_norm(self.norms.values()), self.largest, self.floor, self.exponent
