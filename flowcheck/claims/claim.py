"""A claim of a paper: an equation as printed and as derived, its proof, and how it meets the code."""

from dataclasses import dataclass

import sympy

from .. import notation
from .algebra import same
from .facts import Given, ProofError
from .proof import Proof

__all__ = ["STATUSES", "Claim", "ClaimError", "Counterexample"]

STATUSES = ("definition", "exact", "truncated", "inequality", "erratum")
_RELATIONS = {sympy.Equality: "=", sympy.LessThan: "<=", sympy.StrictLessThan: "<"}


class ClaimError(ValueError):
    """A file or folder of derivations cannot be used: says which and why, in one line."""


@dataclass(frozen=True)
class Counterexample:
    """An exact case that separates an erratum: `instance(relation)` must be false as printed and true as derived."""

    words: str
    instance: callable


@dataclass(frozen=True)
class Claim:
    """One equation of the paper. `printed` is None for a finding that the paper does not print.

    status  "definition": what others start from; "exact"; "truncated": holds with ~tr; "inequality"; "erratum": printed is
            provably not what is derived, and `counterexample` tells them apart
    checks  how it meets the code: Check, ValueCheck, GradientCheck

    `id` is the preprint's number, "41", or a short name; `journal` the journal's number, "A.39".
    """

    id: str
    journal: str
    section: str
    title: str
    status: str
    printed: sympy.Basic | None
    derived: sympy.Basic
    proof: Proof
    counterexample: Counterexample | None = None
    note: str = ""
    checks: tuple = ()
    source: str = ""

    def __post_init__(self):
        if self.status not in STATUSES:
            raise ClaimError(f"claim {self.id}: status {self.status!r}; statuses are {', '.join(STATUSES)}")
        object.__setattr__(self, "checks", tuple(self.checks))

    @property
    def check(self):
        """The first check, or None."""
        return self.checks[0] if self.checks else None

    def verify(self):
        """Prove the claim: its proof holds and ends in `derived`, and `printed` is that or provably something else.

        Raises ProofError; returns nothing.
        """
        try:
            self._verify()
        except ProofError as error:
            raise ProofError(f"claim {self.id} ({self.title}): {error}") from None

    def _verify(self):
        if self.status == "definition":
            return self._defined()
        self.proof.verify()
        last, relation = self.proof.facts[-1], _relation(self.derived)
        strong_enough = relation == last.relation or relation == "<="
        if not (strong_enough and same(last.lhs, self.derived.lhs) and same(last.rhs, self.derived.rhs)):
            raise ProofError(f"the proof ends in {last.lhs} {last.relation} {last.rhs}, which is not as derived, {self.derived}")
        if self.status == "erratum":
            self._separate()
        elif self.printed is not None:
            if _relation(self.printed) != relation or not (
                    same(self.printed.lhs, self.derived.lhs) and same(self.printed.rhs, self.derived.rhs)):
                raise ProofError(f"printed {self.printed} is not as derived, {self.derived}")

    def _defined(self):
        """A definition has no proof: it is the one given that others start from, as printed."""
        if len(self.proof.facts) != 1 or not isinstance(self.proof.facts[0], Given) or self.proof.facts[0].lemma:
            raise ProofError("a definition is one given, and nothing else")
        given, = self.proof.facts
        for form in (self.derived, self.printed):
            if form is None or _relation(form) != given.relation or not (same(form.lhs, given.lhs) and same(form.rhs, given.rhs)):
                raise ProofError(f"{form} is not as defined, {given.lhs} {given.relation} {given.rhs}")

    def _separate(self):
        if self.counterexample is None or self.printed is None:
            raise ProofError("an erratum needs the printed form and a counterexample")
        for relation, expected in ((self.printed, sympy.false), (self.derived, sympy.true)):
            got = self.counterexample.instance(relation)
            if got is not expected:
                raise ProofError(f"counterexample ({self.counterexample.words}): {relation} is {got}, not {expected}")

    @property
    def proof_status(self):
        """What `verify` shows where it passes: "proved", "proved for n <= 4" (a family only), or "definition"."""
        if self.status == "definition":
            return "definition"
        return f"proved for {self.proof.scope}" if self.proof.scope else "proved"

    @property
    def assumptions(self):
        """What the proof rests on, in words."""
        return self.proof.assumptions

    @property
    def printed_latex(self):
        """LaTeX of the printed form, without dollar signs."""
        return r"\text{(not in the paper)}" if self.printed is None else self._latex(self.printed)

    @property
    def derived_latex(self):
        """LaTeX of the derived form, without dollar signs."""
        return self._latex(self.derived)

    def _latex(self, relation):
        return self._joined(relation.lhs, _relation(relation), relation.rhs)

    def latex_of(self, fact):
        """LaTeX of what a fact of the proof states, without dollar signs."""
        return self._joined(fact.lhs, fact.relation, fact.rhs)

    def _joined(self, lhs, relation, rhs):
        sign = {"=": "=", "<=": r"\leq", "<": "<"}[relation]
        sign = r"\approx_{tr}" if self.status == "truncated" and relation == "=" else sign
        return f"{notation.latex(lhs)} {sign} {notation.latex(rhs)}"


def _relation(relation):
    for kind, sign in _RELATIONS.items():
        if isinstance(relation, kind):
            return sign
    raise ProofError(f"{relation} is no equation and no inequality")
