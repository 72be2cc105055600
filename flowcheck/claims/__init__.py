"""Claims of a paper: equations as printed and as derived, proved by SymPy for every lag, and what to check of them.

`quantities` are the paper's letters with their lags, `rules` and `derivatives` the laws that rewrite them, `algebra` says when two
expressions are equal, `facts` and `induction` hold the kinds of proof step, `claim` ties printed form, derived form and
proof together, `checks` says how it meets the code, `loading` reads files. Imports notation, SymPy, mpmath and NumPy only.
"""

from .algebra import difference, same
from .checks import Check, GradientCheck, ValueCheck
from .claim import STATUSES, Claim, ClaimError, Counterexample
from .derivatives import Differentiate, LocalDerivative
from .facts import HYPOTHESIS, Chain, Given, ProofError, Step, below, chain, equal, strictly_below
from .induction import Cases, Family, Induction, OnInterval
from .loading import load
from .proof import Proof
from .quantities import MatrixEntry, PathSum, indices, lag, partial, quantity, total
from .rules import (
    MatrixRows,
    last_factor,
    last_index,
    last_term,
    one_unit,
    pick,
    pick_terms,
    same_unit,
    split_at,
    triangle,
)

__all__ = [
    "HYPOTHESIS", "STATUSES", "Cases", "Chain", "Check", "Claim", "ClaimError", "Counterexample", "Differentiate", "Family",
    "Given", "GradientCheck", "Induction", "LocalDerivative", "MatrixEntry", "MatrixRows", "OnInterval", "PathSum", "Proof",
    "ProofError", "Step", "ValueCheck", "below", "chain", "difference", "equal", "indices", "lag", "last_factor",
    "last_index", "last_term", "load", "one_unit", "partial", "pick", "pick_terms", "quantity", "same", "same_unit",
    "split_at", "strictly_below", "total", "triangle",
]
