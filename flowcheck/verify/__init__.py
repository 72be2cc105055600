"""Verification: the ladder of checks for cells, the claims of derivations, and anyone's backward pass.

A check raises Mismatch with its evidence, or returns it; three verdicts: pass, fail, inconclusive.
"""

from .foreign import Verification, check_gradient, verify_gradient
from .ladder import Implementation, check_cell
from .result import Check, Mismatch

__all__ = ["Check", "Implementation", "Mismatch", "Verification", "check_cell", "check_gradient", "verify_gradient"]
