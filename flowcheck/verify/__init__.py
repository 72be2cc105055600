"""Verification: the ladder of checks for cells, the claims of derivations, and anyone's backward pass.

A check raises Mismatch with its evidence, or returns it; three verdicts: pass, fail, inconclusive.
"""

from .intent import Intent, clipped, direction, stochastic, truncated, up_to_scale
from .ladder import Implementation, check_cell
from .result import Check, Mismatch
from .verification import Finding, Verification

__all__ = [
    "Check", "Finding", "Implementation", "Intent", "Mismatch", "Verification", "check_cell", "clipped", "direction", "stochastic",
    "truncated", "up_to_scale",
]
