"""Facts that a proof is made of, each checked by SymPy: givens, steps, chains.

A fact is a statement `lhs relation rhs` (relation "=", "<=" or "<"), valid for all values of the symbols in `forall`
that meet `where`. A step may use givens, earlier facts and rules; `verify` checks each of them in turn and raises
ProofError at the first that does not hold.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import sympy

from .algebra import canonical, difference, has_sign, holds_index
from .rules import Slack, StrictSlack, decided, fresh, walk

__all__ = ["HYPOTHESIS", "Chain", "Fact", "Given", "Link", "ProofError", "Step", "below", "chain", "equal", "positive_rest", "put",
           "strictly_below"]


class ProofError(AssertionError):
    """A proof does not hold: names the claim, the step, both sides, and what is left of their difference."""


class Fact:
    """A statement `lhs relation rhs` for all values of `forall` that meet `where`."""

    relation, forall, where, lemma = "=", (), (), False

    def verify(self):
        """Check the fact and all that it uses; once, as facts do not change. Raises ProofError; returns nothing."""
        if not vars(self).get("_holds"):
            self.check()
            object.__setattr__(self, "_holds", True)

    @cached_property
    def _pattern(self):
        """(left side with a wildcard for each symbol of forall, {symbol: wildcard})"""
        wilds = {s: sympy.Wild(f"{s.name}_") for s in self.forall}
        return canonical(self.lhs).xreplace(wilds), wilds

    def instance(self, node):
        """The right side for a term that fits the left side; None if it does not fit."""
        if type(node) is not type(self.lhs) or node.func != self.lhs.func:
            return None
        (pattern, wilds), node = self._pattern, canonical(node)
        found = node.match(pattern) if wilds else ({} if node == pattern else None)
        if found is None or any(map(holds_index, found.values())):
            return None
        values = {s: found[w] for s, w in wilds.items() if w in found}
        if not all(_in_range(symbol, value) for symbol, value in values.items()):
            return None
        if not all(decided(sympy.sympify(condition).subs(values, simultaneous=True)) for condition in self.where):
            return None
        return fresh(fresh(self.rhs).xreplace(values))

    def rewrite(self, expression):
        slack = {"=": None, "<=": Slack, "<": StrictSlack}[self.relation]

        def at(node):
            new = self.instance(node)
            return new if new is None or slack is None else new - slack(new, node)
        return walk(expression, at)


def _in_range(symbol, value):
    """Whether a fact that is stated for a positive, nonnegative or integer symbol holds for this value."""
    if symbol.is_integer and not value.is_integer or symbol.is_positive and not decided(value > 0):
        return False
    return not symbol.is_nonnegative or decided(value >= 0)


@dataclass(frozen=True)
class Given(Fact):
    """What a proof starts from: a definition, a forward equation, an assumption; or a lemma that is cited."""

    words: str
    lhs: sympy.Expr
    rhs: sympy.Expr
    forall: tuple = ()
    where: tuple = ()
    relation: str = "="
    lemma: bool = False

    def check(self):
        pass


class _Hypothesis:
    words = "the induction hypothesis"

    def __repr__(self):
        return "HYPOTHESIS"


HYPOTHESIS = _Hypothesis()


@dataclass(frozen=True)
class Step(Fact):
    """`lhs relation rhs`, shown by rewriting: right minus left becomes 0, or manifestly >= 0, or > 0.

    What is in `using` rewrites the left side, what is in `right` the right side, in order.
    """

    words: str
    lhs: sympy.Expr
    rhs: sympy.Expr
    using: tuple = ()
    relation: str = "="
    forall: tuple = ()
    where: tuple = ()
    right: tuple = ()

    def at(self, values, hypothesis=None):
        """The step for particular values, with the induction hypothesis put in."""
        return replace(self, lhs=put(self.lhs, values), rhs=put(self.rhs, values),
                       using=tuple(hypothesis if u is HYPOTHESIS and hypothesis else u for u in self.using))

    def check(self):
        if self.where:
            return replace(_where_valid(self), where=()).verify()
        for used in (*self.using, *self.right):
            if used is HYPOTHESIS:
                raise ProofError(f"{self.words}: uses the induction hypothesis outside of an induction")
            if self.relation == "=" and used.relation != "=":
                raise ProofError(f"{self.words}: an equality cannot rest on the inequality '{used.words}'")
            for fact in (used,) if isinstance(used, Fact) else getattr(used, "using", ()):
                fact.verify()
        lhs, rhs = sympy.sympify(self.lhs), sympy.sympify(self.rhs)
        lhs, rhs = fresh(lhs), fresh(rhs)
        for used in self.using:
            lhs = used.rewrite(lhs)
        for used in self.right:
            rhs = used.rewrite(rhs)
        rest = difference(rhs, lhs)
        if self.relation == "=" and rest != 0 or self.relation != "=" and not has_sign(rest, self.relation == "<"):
            raise ProofError(f"{self.words}: {self.lhs} {self.relation} {self.rhs} does not hold; "
                             f"right minus left leaves {rest}")


@dataclass(frozen=True)
class Chain(Fact):
    """a = b <= c ...: every link a Step whose left side is the right side before it; states first relation last."""

    words: str
    steps: tuple
    forall: tuple = ()
    where: tuple = ()

    @property
    def lhs(self):
        return self.steps[0].lhs

    @property
    def rhs(self):
        return self.steps[-1].rhs

    @property
    def relation(self):
        return max((s.relation for s in self.steps), key=("=", "<=", "<").index)

    @property
    def using(self):
        return self.steps

    def at(self, values, hypothesis=None):
        return replace(self, steps=tuple(s.at(values, hypothesis) for s in self.steps))

    def check(self):
        if self.where:
            return replace(_where_valid(self), where=()).verify()
        for before, after in zip(self.steps, self.steps[1:]):
            if before.rhs != after.lhs:
                raise ProofError(f"{self.words}: the chain breaks between {before.rhs} and {after.lhs}")
        for step in self.steps:
            step.verify()


@dataclass(frozen=True)
class Link:
    """One line of a chain."""

    words: str
    relation: str
    rhs: sympy.Expr
    using: tuple
    right: tuple = ()


def equal(words, rhs, *using, right=()):
    """Line "= rhs" of a chain."""
    return Link(words, "=", rhs, using, tuple(right))


def below(words, rhs, *using):
    """Line "<= rhs" of a chain."""
    return Link(words, "<=", rhs, using)


def strictly_below(words, rhs, *using):
    """Line "< rhs" of a chain."""
    return Link(words, "<", rhs, using)


def chain(words, first, *links, forall=(), where=()):
    """The chain first, link, link, ... as a textbook sets it."""
    steps, left = [], first
    for link in links:
        steps.append(Step(f"{words}: {link.words}", left, link.rhs, link.using, link.relation, right=link.right))
        left = link.rhs
    return Chain(words, tuple(steps), tuple(forall), tuple(where))


def _where_valid(fact):
    """The fact for q = a + r, r any positive integer, where it is claimed for q > a (for q >= a: q = a + r - 1)."""
    return fact.at({c.lhs: c.rhs + positive_rest - (1 if isinstance(c, sympy.GreaterThan) else 0) for c in fact.where})


class _Beyond(sympy.Symbol):
    """A symbol that equals no symbol of a derivation, whatever its name."""


positive_rest = _Beyond("r", integer=True, positive=True)


def put(expression, values):
    """The expression with values put in, all at once."""
    return sympy.sympify(expression).subs(values, simultaneous=True)
