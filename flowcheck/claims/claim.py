"""A claim of a paper: an equation as printed and as derived, its proof, and how it meets the code."""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import sympy

from .. import notation
from .algebra import same
from .proof import Proof, ProofError

__all__ = ["STATUSES", "Check", "Claim", "ClaimError", "Counterexample", "load"]

STATUSES = ("exact", "truncated", "inequality", "erratum")
_RELATIONS = {sympy.Equality: "=", sympy.LessThan: "<=", sympy.StrictLessThan: "<"}


class ClaimError(ValueError):
    """A file or folder of derivations cannot be used: says which and why, in one line."""


@dataclass(frozen=True)
class Counterexample:
    """An exact case that separates an erratum: `instance(relation)` must be false as printed and true as derived."""

    words: str
    instance: callable


@dataclass(frozen=True)
class Check:
    """How a claim meets the code: the claimed value of d sender(t) / d receiver(t-q) in plain NumPy.

    cell               its name in the catalogue
    sender, receiver   vectors of the cell; the receiver is perturbed where it is computed at step t-q, all later uses included
    truncated          whether the recurrent connections are cut
    evaluate           evaluate(values, q) -> array [sender unit, receiver unit]; for relation "<=" the log10 of a bound
                       on every |entry|. `values` has the weights by name ("W_y", [to, from]) and each vector of the cell by
                       name, of shape (steps, size), the last row at time t
    lags               the lags q at which it is meant to be checked
    """

    cell: str
    sender: str
    receiver: str
    truncated: bool
    evaluate: callable
    lags: range
    relation: str = "="


@dataclass(frozen=True)
class Claim:
    """One equation of the paper. `printed` is None for a finding that the paper does not print.

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

    def _separate(self):
        if self.counterexample is None or self.printed is None:
            raise ProofError("an erratum needs the printed form and a counterexample")
        for relation, expected in ((self.printed, sympy.false), (self.derived, sympy.true)):
            got = self.counterexample.instance(relation)
            if got is not expected:
                raise ProofError(f"counterexample ({self.counterexample.words}): {relation} is {got}, not {expected}")

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
        sign = {"=": "=", "<=": r"\leq", "<": "<"}[_relation(relation)]
        sign = r"\approx_{tr}" if self.status == "truncated" else sign
        return f"{notation.latex(relation.lhs)} {sign} {notation.latex(relation.rhs)}"


def _relation(relation):
    for kind, sign in _RELATIONS.items():
        if isinstance(relation, kind):
            return sign
    raise ProofError(f"{relation} is no equation and no inequality")


def load(*paths):
    """The claims of derivation files, or of all files of a folder that do not start with "_", in order.

    Each claim's `source` is the path of its file. Raises ClaimError for a path that does not exist, a file without
    CLAIMS, a folder without any, a claim that appears twice.
    """
    claims, seen = [], {}
    for path in map(Path, paths):
        if not path.exists():
            raise ClaimError(f"{path}: no such file or folder")
        files = [f for f in sorted(path.glob("*.py"), key=_reading_order) if not f.name.startswith("_")] if path.is_dir() else [path]
        if not files:
            raise ClaimError(f"{path}: no derivation files in this folder")
        for file in files:
            for claim in _claims_of(file):
                if claim.id in seen:
                    raise ClaimError(f"{file}: claim {claim.id!r} is already in {seen[claim.id]}")
                seen[claim.id] = file
                claims.append(replace(claim, source=str(file)))
    return claims


def _reading_order(file):
    """Sections (s3_1 ...) before appendices (a1 ...), as in the paper; other files last."""
    return {"s": 0, "a": 1}.get(file.name[0], 2), file.name


def _claims_of(file):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None:
        raise ClaimError(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ClaimError(f"{file}: {type(error).__name__}: {error}") from error
    claims = getattr(module, "CLAIMS", None)
    if not claims or not all(isinstance(c, Claim) for c in claims):
        raise ClaimError(f"{file}: a derivation file ends with CLAIMS = [...], a list of Claim")
    return claims
