"""Proofs as data, checked by SymPy: givens, steps, chains, cases, induction over every lag.

A fact is a statement `lhs relation rhs` (relation "=", "<=" or "<"), valid for all values of the symbols in `forall`
that meet `where`. A step may use givens, earlier facts, claims and rules; `verify` checks each of them in turn and
raises ProofError at the first that does not hold. What is assumed or cited is listed by `assumptions`, never silent.
"""

from dataclasses import dataclass, replace

import sympy

from .algebra import canonical, difference, has_sign, holds_index, same
from .rules import Slack, StrictSlack, decided, fresh, walk

__all__ = ["HYPOTHESIS", "Cases", "Chain", "Given", "Induction", "Link", "Proof", "ProofError", "Step", "below", "chain",
           "equal", "strictly_below"]


class ProofError(AssertionError):
    """A proof does not hold: names the claim, the step, both sides, and what is left of their difference."""


class Fact:
    """A statement `lhs relation rhs` for all values of `forall` that meet `where`."""

    relation, forall, where, lemma = "=", (), (), False

    def instance(self, node):
        """The right side for a term that fits the left side; None if it does not fit."""
        pattern, node = self.lhs, sympy.sympify(node)
        if type(node) is not type(pattern) or node.func != pattern.func:
            return None
        node, pattern = canonical(node), canonical(pattern)
        wilds = {s: sympy.Wild(f"{s.name}_") for s in self.forall}
        found = node.match(pattern.xreplace(wilds)) if wilds else ({} if node == pattern else None)
        if found is None or any(map(holds_index, found.values())):
            return None
        values = {s: found[w] for s, w in wilds.items() if w in found}
        if not all(_in_range(symbol, value) for symbol, value in values.items()):
            return None
        if not all(decided(sympy.sympify(condition).subs(values, simultaneous=True)) for condition in self.where):
            return None
        return fresh(fresh(self.rhs).subs(values, simultaneous=True))

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

    def check(self, seen):
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
        return replace(self, lhs=_put(self.lhs, values), rhs=_put(self.rhs, values),
                       using=tuple(hypothesis if u is HYPOTHESIS and hypothesis else u for u in self.using))

    def check(self, seen):
        if self.where:
            return replace(_where_valid(self), where=()).check(seen)
        for used in (*self.using, *self.right):
            if used is HYPOTHESIS:
                raise ProofError(f"{self.words}: uses the induction hypothesis outside of an induction")
            if self.relation == "=" and used.relation != "=":
                raise ProofError(f"{self.words}: an equality cannot rest on the inequality '{used.words}'")
            for fact in (used,) if isinstance(used, Fact) else getattr(used, "using", ()):
                verify(fact, seen)
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

    def check(self, seen):
        if self.where:
            return replace(_where_valid(self), where=()).check(seen)
        for before, after in zip(self.steps, self.steps[1:]):
            if before.rhs != after.lhs:
                raise ProofError(f"{self.words}: the chain breaks between {before.rhs} and {after.lhs}")
        for step in self.steps:
            step.check(seen)


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
    return fact.at({c.lhs: c.rhs + _R - (1 if isinstance(c, sympy.GreaterThan) else 0) for c in fact.where})


class _Beyond(sympy.Symbol):
    """A symbol that equals no symbol of a derivation, whatever its name."""


_R = _Beyond("r", integer=True, positive=True)


def _put(expression, values):
    return sympy.sympify(expression).subs(values, simultaneous=True)


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

    def check(self, seen):
        if self.base is None or self.step is None:
            raise ProofError(f"{self.words}: an induction has a base and a step")
        first = {self.q: sympy.Integer(self.start)}
        base = self.base.at(first)
        _expect(f"{self.words}, base", base, _put(self.lhs, first), _put(self.rhs, first), self.relation)
        base.check(seen)
        previous, now = {self.q: self.start + _R - 1}, {self.q: self.start + _R}
        hypothesis = Given("the induction hypothesis", _put(self.lhs, previous), _put(self.rhs, previous),
                           tuple(s for s in self.forall if s != self.q), (), self.relation)
        step = self.step.at(now, hypothesis)
        _expect(f"{self.words}, step", step, _put(self.lhs, now), _put(self.rhs, now), self.relation)
        step.check(seen)


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

    def check(self, seen):
        if len(self.parts) != len(self.rhs.args):
            raise ProofError(f"{self.words}: {len(self.rhs.args)} cases, {len(self.parts)} of them argued")
        for part, (branch, condition) in zip(self.parts, self.rhs.args):
            symbol, value = sorted(condition.args, key=lambda side: side not in self.lhs.free_symbols)
            if isinstance(condition, sympy.StrictGreaterThan):
                value = value + _R
            elif not isinstance(condition, sympy.Equality):
                raise ProofError(f"{self.words}: cannot read the case {condition}")
            part = part.at({symbol: value})
            _expect(f"{self.words}, case {condition}", part, _put(self.lhs, {symbol: value}),
                    _put(branch, {symbol: value}), "=")
            part.check(seen)


def verify(fact, seen):
    """Check a fact and all that it uses, each once. Raises ProofError."""
    if id(fact) not in seen:
        fact.check(seen)
        seen[id(fact)] = fact


@dataclass(frozen=True)
class Proof:
    """A sequence of facts; the last one is what is proved."""

    facts: tuple = ()

    def __init__(self, *facts):
        object.__setattr__(self, "facts", facts)
        object.__setattr__(self, "_holds", False)

    def verify(self):
        """Check every fact and all that it uses; once, as facts do not change. Raises ProofError; returns nothing."""
        if self._holds:
            return
        if not self.facts or isinstance(self.facts[-1], Given):
            raise ProofError("there is no proof")
        seen = {}
        for fact in self.facts:
            verify(fact, seen)
        object.__setattr__(self, "_holds", True)

    @property
    def everything(self):
        """Every fact and rule of the proof, in the order of use, each once."""
        found = {}

        def visit(fact):
            if id(fact) not in found and fact is not HYPOTHESIS:
                for used in (*getattr(fact, "using", ()), *getattr(fact, "right", ())):
                    visit(used)
                found[id(fact)] = fact
        for fact in self.facts:
            visit(fact)
        return tuple(found.values())

    @property
    def assumptions(self):
        """Words of what the proof rests on: definitions, forward equations, assumptions, and lemmas that it cites."""
        return tuple(dict.fromkeys(f"lemma: {f.words}" if f.lemma else f.words for f in self.everything
                                   if isinstance(f, Given) or f.lemma))
