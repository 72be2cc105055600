"""When two expressions are equal, and when one is nonnegative: a normal form for finite sums over symbolic ranges.

Slopes f' are written in f, sums are split and freed of constant factors, indices of sums named by how deep they lie.
Imports SymPy, notation and `rules` only.
"""

from functools import lru_cache

import sympy

from ..notation import Squashing, g, h, in_terms_of_value, sigma, tanh
from .rules import fresh, rename_indices, walk

__all__ = ["canonical", "difference", "has_sign", "holds_index", "normal", "same"]


def _normal_sum(total):
    function, limits = normal(total.function), list(total.limits)
    terms = []
    for term in sympy.Add.make_args(sympy.expand(function)):
        inner, rest = [], [term]
        for factor in sympy.Mul.make_args(term):
            if isinstance(factor, sympy.Sum) and not inner:
                inner, rest = list(factor.limits), [factor.function, *(a for a in sympy.Mul.make_args(term) if a != factor)]
        outside, body = sympy.Mul(*rest).as_independent(*(limit[0] for limit in limits + inner), as_Add=False)
        if body == 1:
            terms.append(outside * sympy.Mul(*(high - low + 1 for _, low, high in limits + inner)))
        else:
            ordered = sorted(limits + inner, key=lambda limit: _rank(limit, body))
            terms.append(outside * sympy.Sum(body, *ordered))
    return sympy.Add(*terms)


def _rank(limit, body):
    marked = body.xreplace({limit[0]: sympy.Symbol("_here")})
    others = {s: sympy.Symbol("_") for s in marked.free_symbols if isinstance(s, (sympy.Dummy, _Index))}
    return str(limit[1:]), str(marked.xreplace(others))


def _normal_abs(node):
    inside = sympy.Mul.make_args(normal(node.args[0]))
    return sympy.Mul(*(a if a.is_nonnegative else sympy.Abs(a) for a in inside))


def normal(expression):
    """A canonical form of an expression: equal forms are equal expressions (the converse is up to `difference`)."""
    return _normal(canonical(expression))


@lru_cache(maxsize=2**14)
def _normal(expression):
    def at(node):
        if isinstance(node, sympy.Sum):
            return _normal_sum(node)
        if isinstance(node, sympy.Abs):
            return _normal_abs(node)
        if isinstance(node, sympy.Derivative):
            done = node.doit(deep=False)
            return None if done == node else normal(done)
        return None
    expression = sympy.expand(walk(fresh(in_terms_of_value(expression)), at))
    return canonical(sympy.expand(in_terms_of_value(expression)))


class _Index(sympy.Symbol):
    """An index of a sum or product, named by how deep it lies."""


def holds_index(value):
    return any(isinstance(s, _Index) for s in value.free_symbols)


def canonical(expression, depth=0):
    """The same expression with the indices of its sums and products named by how deep they lie."""
    if not expression.has(sympy.Sum, sympy.Product):
        return expression

    def rename(node):
        if not isinstance(node, (sympy.Sum, sympy.Product)):
            return None
        new = [_Index(f"_{depth}_{k}", integer=True, positive=True) for k in range(len(node.limits))]
        return rename_indices(node.func(canonical(node.function, depth + 1), *node.limits), new)
    return walk(expression, rename)


def difference(lhs, rhs):
    """lhs - rhs in its simplest form; 0 if SymPy confirms that they are equal."""
    lhs, rhs = sympy.sympify(lhs), sympy.sympify(rhs)
    if lhs == rhs:
        return sympy.Integer(0)
    rest = normal(normal(lhs) - normal(rhs))
    if rest == 0 or not (rest.has(Squashing, *_IN_SIGMA) or _divided_by_sum(rest)):
        return rest
    by_sigma = _in_sigma(rest)
    if rest.has(sympy.Sum) and by_sigma != rest:
        return sympy.Integer(0) if normal(by_sigma) == 0 else rest
    return sympy.Integer(0) if sympy.expand(sympy.numer(sympy.together(by_sigma))) == 0 else rest


_IN_SIGMA = {h: lambda z: 2 * sigma(z) - 1, g: lambda z: 4 * sigma(z) - 2, tanh: lambda z: 2 * sigma(2 * z) - 1,
             sympy.tanh: lambda z: 2 * sigma(2 * z) - 1, sympy.coth: lambda z: 1 / (2 * sigma(2 * z) - 1),
             sympy.exp: lambda z: _exp_in_sigma(*z.as_coeff_Mul())}


def _exp_in_sigma(times, z):
    """exp(times z); whole multiples of one z share one sigma(z)."""
    whole = times if times.is_Integer else sympy.Integer(1)
    inner = z if times.is_Integer else times * z
    return (sigma(inner) / (1 - sigma(inner))) ** whole


def _divided_by_sum(expression):
    """Whether a sum stands in a denominator, so that equal fractions may look different."""
    return any(node.is_Pow and node.exp.is_negative and node.base.is_Add for node in sympy.preorder_traversal(expression))


def _in_sigma(expression):
    """Every squashing function written in sigma, so that an identity between them is one of rational functions."""
    return expression.replace(lambda node: type(node) in _IN_SIGMA, lambda node: _IN_SIGMA[type(node)](*node.args))


def same(a, b):
    """Whether two expressions are equal up to harmless rewriting; Piecewise are compared branch by branch."""
    a, b = sympy.sympify(a), sympy.sympify(b)
    if isinstance(a, sympy.Piecewise) and isinstance(b, sympy.Piecewise):
        return len(a.args) == len(b.args) and all(
            _same_case(x.cond, y.cond) and same(x.expr, y.expr) for x, y in zip(a.args, b.args))
    if isinstance(a, sympy.Piecewise) or isinstance(b, sympy.Piecewise):
        return False
    return difference(a, b) == 0


def _same_case(a, b):
    return a == b or isinstance(a, sympy.core.relational.Relational) and a.reversed == b


def has_sign(expression, strictly):
    """Whether an expression is manifestly >= 0 (> 0): a sum or product of terms of known sign, factored if need be."""
    known = {}

    def close(node):
        if isinstance(node, Squashing):
            return known.setdefault(node, sympy.Dummy(real=True))
        if isinstance(node, sympy.Sum) and has_sign(node.function, False):
            return known.setdefault(node, sympy.Dummy(nonnegative=True))
        return None

    closed = walk(normal(expression), close)
    return any((form.is_positive if strictly else form.is_nonnegative) for form in (closed, sympy.factor(closed)))
