"""Claims of a paper: equations as printed and as derived, proved by SymPy for every lag, and what to check of them.

`quantities` are the paper's letters with their lags, `rules` the laws that rewrite them, `algebra` says when two
expressions are equal, `proof` holds the kinds of proof step, `claim` ties printed form, derived form and proof
together. Imports notation, SymPy and NumPy only.
"""

from .algebra import difference, same
from .claim import STATUSES, Check, Claim, ClaimError, Counterexample, load
from .proof import (
    HYPOTHESIS,
    Cases,
    Chain,
    Given,
    Induction,
    Proof,
    ProofError,
    Step,
    below,
    chain,
    equal,
    strictly_below,
)
from .quantities import MatrixEntry, PathSum, indices, lag, partial, quantity, total
from .rules import (
    Differentiate,
    LocalDerivative,
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
    "HYPOTHESIS", "STATUSES", "Cases", "Chain", "Check", "Claim", "ClaimError", "Counterexample", "Differentiate", "Given",
    "Induction", "LocalDerivative", "MatrixEntry", "MatrixRows", "PathSum", "Proof", "ProofError", "Step", "below", "chain",
    "difference", "equal", "indices", "lag", "last_factor", "last_index", "last_term", "load", "one_unit", "partial",
    "pick", "pick_terms", "quantity", "same", "same_unit", "split_at", "strictly_below", "total", "triangle",
]
