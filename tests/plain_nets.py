"""Nets in plain scalar loops, written from the publications: every number in them can be read, and moved by i h (complex step).

`number` evaluates a formula of a derivation on such a net, so that both sides of a claim meet as numbers. Knows nothing of the package
but its SymPy classes and routines.
"""

import math

import numpy as np
import sympy

from flowcheck.claims import PathSum, last_index, partial
from flowcheck.notation import ROUTINES, Slope, Squashing

STEP = 1e-100


class Tape:
    """Values by (name, *indices); the one that is `moved` has i h added where it is set. `frozen` reads the unmoved run."""

    def __init__(self, moved=None, base=None):
        self.values, self.moved, self.base = {}, moved, base

    def __call__(self, name, *index):
        return self.values[name, index]

    def set(self, name, *index, value):
        self.values[name, index] = value + (1j * STEP if (name, index) == self.moved else 0)

    def frozen(self, name, *index):
        return (self.base or self)(name, *index)


class PlainNet:
    """A run, and its derivatives: `d(out, source)`, everything that the source changes later included."""

    def __init__(self, run, **others):
        self.run, self.others, self.moved = run, others, {}
        self.base = Tape()
        run(self.base)

    def d(self, out, source):
        if source not in self.moved:
            tape = Tape(source, self.base)
            self.run(tape)
            self.moved[source] = tape
        return np.imag(self.moved[source].values[out]) / STEP

    def look_up(self, name, *index):
        return self.others[name](*index) if name in self.others else self.base(name, *index)


def number(node, net, at):
    """The value of an expression on a net; `at` gives its symbols, free ones by name."""
    def value(part, at=at):
        return number(part, net, at)

    if node.is_Number:
        return float(node) if not node.is_Integer else int(node)
    if isinstance(node, sympy.Symbol):
        return at[node] if node in at else at[node.name] if node.name in at else net.look_up(node.name)
    if isinstance(node, sympy.Add):
        return sum(map(value, node.args))
    if isinstance(node, sympy.Mul):
        return math.prod(map(value, node.args))
    if isinstance(node, sympy.Pow):
        return value(node.base) ** value(node.exp)
    if isinstance(node, sympy.Abs):
        return abs(value(node.args[0]))
    if isinstance(node, sympy.KroneckerDelta):
        return int(value(node.args[0]) == value(node.args[1]))
    if isinstance(node, sympy.Sum | sympy.Product):
        *outer, (index, low, high) = node.limits
        inner = node.func(node.function, *outer) if outer else node.function
        terms = [number(inner, net, at | {index: k}) for k in range(value(low), value(high) + 1)]
        return sum(terms) if isinstance(node, sympy.Sum) else math.prod(terms)
    if isinstance(node, PathSum):
        steps = node.args[3]
        opened = last_index.rewrite(node.func(*node.args[:3], sympy.Integer(value(steps)), node.args[4]))
        return value(opened)
    if isinstance(node, partial):
        return net.d(*((key(part, net, at)) for part in node.args))
    if isinstance(node, Squashing | Slope):
        return ROUTINES[type(node).__name__](value(node.args[0]))[()]
    if isinstance(node, sympy.exp | sympy.log):
        return getattr(math, type(node).__name__)(value(node.args[0]))
    return net.look_up(*_name(node, net, at))


def _name(node, net, at):
    return type(node).__name__, *(int(number(a, net, at)) for a in node.args)


def key(node, net, at):
    """(name, indices) of a quantity or a symbol."""
    if isinstance(node, sympy.Symbol):
        return node.name, ()
    name, *index = _name(node, net, at)
    return name, tuple(index)


def logistic(z):
    return 1 / (1 + np.exp(-z))


def g_1997(z):
    return 4 * logistic(z) - 2
