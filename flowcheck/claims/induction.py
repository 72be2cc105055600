"""Facts about a whole family at once: induction over every lag, cases, members listed one by one, bounds on an interval.

Each is a statement that is shown part by part. Imports SymPy, mpmath (intervals) and `facts`.
"""

from dataclasses import dataclass
from fractions import Fraction

import mpmath
import sympy

from ..notation import in_terms_of_value
from .algebra import same
from .facts import Fact, Given, ProofError, positive_rest, put

__all__ = ["Cases", "Family", "Induction", "OnInterval"]


def _expect(name, part, lhs, rhs, relation):
    enough = relation == "<=" or part.relation == relation  # a = b and a < b both show a <= b
    if not (enough and same(part.lhs, lhs) and same(part.rhs, rhs)):
        raise ProofError(f"{name}: needed {lhs} {relation} {rhs}, but '{part.words}' shows "
                         f"{part.lhs} {part.relation} {part.rhs}")


@dataclass(frozen=True)
class Induction(Fact):
    """`lhs relation rhs` for every q >= start: a base at q = start, and a step from q-1 to q for symbolic q > start.

    The step is written in q and may use HYPOTHESIS, the statement at q-1 for all values of `forall`. It is checked
    with q = start + r, r any positive integer, so that conditions on q are decided by SymPy.
    """

    words: str
    lhs: sympy.Expr
    rhs: sympy.Expr
    q: sympy.Symbol
    base: Fact
    step: Fact
    start: int = 1
    forall: tuple = ()
    relation: str = "="

    @property
    def where(self):
        return (self.q >= self.start,) if self.q in self.forall else ()

    @property
    def using(self):
        return (self.base, self.step)

    def check(self):
        if self.base is None or self.step is None:
            raise ProofError(f"{self.words}: an induction has a base and a step")
        first = {self.q: sympy.Integer(self.start)}
        base = self.base.at(first)
        _expect(f"{self.words}, base", base, put(self.lhs, first), put(self.rhs, first), self.relation)
        base.verify()
        previous, now = {self.q: self.start + positive_rest - 1}, {self.q: self.start + positive_rest}
        hypothesis = Given("the induction hypothesis", put(self.lhs, previous), put(self.rhs, previous),
                           tuple(s for s in self.forall if s != self.q), (), self.relation)
        step = self.step.at(now, hypothesis)
        _expect(f"{self.words}, step", step, put(self.lhs, now), put(self.rhs, now), self.relation)
        step.verify()


@dataclass(frozen=True)
class Cases(Fact):
    """`lhs = Piecewise(...)`: one fact for each branch, in order; a branch is `x = value`, or `q > integer`."""

    words: str
    lhs: sympy.Expr
    rhs: sympy.Piecewise
    parts: tuple

    @property
    def using(self):
        return self.parts

    def check(self):
        if len(self.parts) != len(self.rhs.args):
            raise ProofError(f"{self.words}: {len(self.rhs.args)} cases, {len(self.parts)} of them argued")
        for part, (branch, condition) in zip(self.parts, self.rhs.args):
            symbol, value = sorted(condition.args, key=lambda side: side not in self.lhs.free_symbols)
            if isinstance(condition, sympy.StrictGreaterThan):
                value = value + positive_rest
            elif not isinstance(condition, sympy.Equality):
                raise ProofError(f"{self.words}: cannot read the case {condition}")
            part = part.at({symbol: value})
            _expect(f"{self.words}, case {condition}", part, put(self.lhs, {symbol: value}),
                    put(branch, {symbol: value}), "=")
            part.verify()


@dataclass(frozen=True)
class Family(Fact):
    """`lhs relation rhs` for the members that are listed, and no others: `parts` are the statements for each of `values`.

    `scope` says in words for which, e.g. "n <= 4"; a proof that uses this is `proved for n <= 4`.
    """

    words: str
    lhs: sympy.Expr
    rhs: sympy.Expr
    symbol: sympy.Symbol
    parts: dict
    scope: str
    forall: tuple = ()
    relation: str = "="

    @property
    def using(self):
        return tuple(self.parts.values())

    @property
    def where(self):
        return (sympy.Or(*(sympy.Eq(self.symbol, value) for value in self.parts)),) if self.symbol in self.forall else ()

    def check(self):
        if not self.parts or not self.scope:
            raise ProofError(f"{self.words}: a family has members, and a scope that names them")
        for value, part in self.parts.items():
            member = {self.symbol: value}
            _expect(f"{self.words}, {self.symbol} = {value}", part, put(self.lhs, member), put(self.rhs, member), self.relation)
            part.verify()


@dataclass(frozen=True)
class OnInterval(Fact):
    """`lhs relation rhs` ("<=" or "<") for every real x in [low, high], by interval arithmetic: halved until each piece shows it.

    Both sides are formulas in `x` alone. Outward rounding (mpmath) makes every enclosure rigorous. Raises ProofError where a
    piece contradicts the bound or `depth` halvings do not settle it, as at a point of equality with no slack.
    """

    words: str
    lhs: sympy.Expr
    rhs: sympy.Expr
    x: sympy.Symbol
    low: sympy.Rational
    high: sympy.Rational
    relation: str = "<="
    depth: int = 24

    @property
    def forall(self):
        return (self.x,)

    @property
    def where(self):
        return (self.x >= self.low, self.x <= self.high)

    def check(self):
        form = in_terms_of_value(self.rhs - self.lhs).rewrite(sympy.exp)
        rest, slope = (_enclosing(f, self.x) for f in (form, sympy.diff(form, self.x)))
        ends = (sympy.Rational(a) for a in (self.low, self.high))
        pieces = [(*(Fraction(int(a.p), int(a.q)) for a in ends), 0)]
        while pieces:
            low, high, level = pieces.pop()
            middle = (low + high) / 2
            here, centre = mpmath.iv.mpf([_interval(low).a, _interval(high).b]), _interval(middle)
            slack = rest(centre) + slope(here) * (here - centre)  # mean value form: as narrow as the piece squared
            if slack.a > 0 or (slack.a >= 0 and self.relation == "<="):
                continue
            if slack.b < 0 or level == self.depth:
                raise ProofError(f"{self.words}: {self.lhs} {self.relation} {self.rhs} is not shown for {self.x} in "
                                 f"[{float(low):.6g}, {float(high):.6g}]; right minus left lies in {slack}")
            pieces += [(low, middle, level + 1), (middle, high, level + 1)]


def _interval(fraction):
    return mpmath.iv.mpf(int(fraction.numerator)) / mpmath.iv.mpf(int(fraction.denominator))


def _enclosing(formula, x):
    """The formula as a function of intervals; its fractions are enclosed too, as 1/3 is no float."""
    if formula.atoms(sympy.Float):
        raise ProofError(f"{formula} holds a rounded number; write it as a Rational")
    fractions = {a: sympy.Dummy() for a in formula.atoms(sympy.Rational) if not a.is_Integer}
    function = sympy.lambdify([x, *fractions.values()], formula.xreplace(fractions), _INTERVALS)
    enclosed = [_interval(a) for a in fractions]
    return lambda here: function(here, *enclosed)


_INTERVALS = [{"exp": mpmath.iv.exp, "log": mpmath.iv.log, "sqrt": mpmath.iv.sqrt, "cos": mpmath.iv.cos, "sin": mpmath.iv.sin}]
