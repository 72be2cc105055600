"""Mistakes and harmless rewritings of a formula, made from its tree: of sign, factor, index and time."""

import re

import sympy
from sympy import Piecewise, Product, Sum

from flowcheck.claims import PathSum
from flowcheck.notation import Squashing, g, h, in_terms_of_value, sigma, tanh

__all__ = ["harmless", "mistakes"]


def sites(expression, path=()):
    """(path, node) of every node, ranges of sums and conditions of cases left out."""
    yield path, expression
    for k, arg in enumerate(expression.args):
        if isinstance(expression, (Sum, Product)) and k > 0 or isinstance(arg, (sympy.Tuple, sympy.logic.boolalg.Boolean)):
            continue
        yield from sites(arg, (*path, k))


def put(expression, path, new):
    """The expression with another node at a path."""
    if not path:
        return new
    args = list(expression.args)
    args[path[0]] = put(args[path[0]], path[1:], new)
    if isinstance(expression, Piecewise):
        return Piecewise(*args, evaluate=False)
    return expression.func(*args)


def slots(node):
    """(places of times, places of indices) of a quantity's arguments."""
    template = getattr(type(node), "template", None)
    if template is None:
        return [], []
    times = {int(a or b) for a, b in re.findall(r"\{(\d):t\}|\(\{(\d)\}\)", template)}
    return [k for k in range(len(node.args)) if k in times], [k for k in range(len(node.args)) if k not in times]


def with_arg(node, k, new):
    args = list(node.args)
    args[k] = new
    return node.func(*args)


def wrong_sign(node):
    """One term of a sum with its sign changed, or a product with its sign changed."""
    if isinstance(node, (sympy.Add, sympy.Mul)) and not node.is_number:
        first, *rest = node.args
        yield node.func(-first, *rest)


def wrong_factor(node):
    """A quantity, a squashing function or a sum taken twice."""
    if isinstance(node, (Squashing, Sum, Product, PathSum, sympy.Symbol, sympy.Abs)) or slots(node) != ([], []):
        if node.is_commutative and not node.is_integer:
            yield 2 * node


def wrong_index(node):
    """Two indices of a quantity swapped, or its only one another."""
    _, indices = slots(node)
    pairs = [(a, b) for a in indices for b in indices if a < b and node.args[a] != node.args[b]]
    for a, b in pairs[:1]:
        yield with_arg(with_arg(node, a, node.args[b]), b, node.args[a])
    if not pairs and indices and node.args[indices[0]].is_integer:
        yield with_arg(node, indices[0], sympy.Symbol("other", integer=True, positive=True))


def wrong_time(node):
    """A quantity one step too early."""
    for k in slots(node)[0][:1]:
        yield with_arg(node, k, node.args[k] + 1)


KINDS = {"sign": wrong_sign, "factor": wrong_factor, "index": wrong_index, "time": wrong_time}


def mistakes(expression, most=2):
    """[(kind, formula with one mistake)], up to `most` of each kind, from the two ends of the tree."""
    found = []
    for kind, mutate in KINDS.items():
        changed = []
        for path, node in sites(expression):
            for new in mutate(node):
                mutant = put(expression, path, new)
                if mutant != expression and mutant not in changed:
                    changed.append(mutant)
        found += [(kind, m) for m in dict.fromkeys([*changed[:1], *changed[-1:]][:most])]
    if not found:
        found += [("sign", -expression - 1), ("factor", 2 * expression + 1)] if expression.is_number else []
    return found


def _renamed(expression):
    def rename(node):
        if not isinstance(node, (Sum, Product)):
            return node
        new = {i: sympy.Symbol(f"{i.name}_renamed", integer=True, positive=True) for i in node.variables}
        return node.xreplace(new)
    return expression.replace(lambda node: isinstance(node, (Sum, Product)), rename)


def _reversed(node):
    if isinstance(node, sympy.Mul) and node.is_commutative:
        return sympy.Mul(*map(_reversed, reversed(node.args)), evaluate=False)
    if not node.args or isinstance(node, (Sum, Product, Piecewise, PathSum)) or not isinstance(node, (sympy.Add, sympy.Mul)):
        return node
    return node.func(*map(_reversed, node.args), evaluate=False)


def harmless(expression):
    """[(kind, the same in another form)]: order of factors, name of a summation index, a squashing function by another."""
    forms = {
        "order of factors": _reversed(expression),
        "renamed index": _renamed(expression),
        "h by sigma": expression.replace(h, lambda z: 2 * sigma(z) - 1),
        "h by tanh": expression.replace(h, lambda z: sympy.tanh(z / 2)),
        "g by h": expression.replace(g, lambda z: 2 * h(z)),
        "sigma by tanh": expression.replace(sigma, lambda z: (1 + tanh(z / 2)) / 2),
        "slope by value": in_terms_of_value(expression),
    }
    return [(kind, form) for kind, form in forms.items() if str(sympy.srepr(form)) != str(sympy.srepr(expression))]
