"""Laws that rewrite terms in a proof: definitions of sums and products, cited lemmas; `derivatives` has those of derivatives.

A rule has `words` and `rewrite(expression)`, which returns an equal expression, or for an inequality one that is
equal with an explicit nonnegative slack. Imports SymPy and `quantities` only.
"""

from dataclasses import dataclass

import sympy

from .quantities import MatrixEntry, PathSum

__all__ = ["MatrixRows", "Slack", "StrictSlack", "decided", "fresh", "last_factor",
           "last_index", "last_term", "one_unit", "pick", "pick_terms", "rename_indices", "same_unit", "split_at", "triangle", "walk"]


def walk(expression, rewrite):
    """Replace nodes from the top down; what a replacement brings in is not visited again."""
    new = rewrite(expression)
    if new is not None:
        return new
    if not expression.args or not isinstance(expression, sympy.Basic):
        return expression
    args = [walk(a, rewrite) for a in expression.args]
    return expression if all(a is b for a, b in zip(args, expression.args)) else expression.func(*args)


def fresh(expression):
    """The same expression with every summation index renamed to one that occurs nowhere else."""
    if not expression.has(sympy.Sum, sympy.Product):
        return expression

    def rename(node):
        if not isinstance(node, (sympy.Sum, sympy.Product)):
            return None
        inner = node.func(fresh(node.function), *node.limits)
        return rename_indices(inner, [sympy.Dummy(i.name, integer=True, positive=True) for i in node.variables])
    return walk(expression, rename)


def rename_indices(total, names):
    """A Sum or Product with other names for its indices, which must not occur in it."""
    new = dict(zip(total.variables, names))
    return total.func(total.function.xreplace(new), *(limit.xreplace(new) for limit in total.limits))


def decided(relation):
    """Whether a relation holds for all values of its symbols: positive integers are written as 1 + a nonnegative one."""
    relation = sympy.sympify(relation)
    ones = {s: 1 + sympy.Dummy(integer=True, nonnegative=True) for s in relation.free_symbols if s.is_integer and s.is_positive}
    return relation == True or relation.xreplace(ones) == True  # noqa: E712  (an undecided relation is neither True nor False)


class Slack(sympy.Function):
    """Slack(b, a) = b - a of an inequality a <= b that is known: nonnegative, and otherwise left closed."""

    nargs = 2
    is_real, is_nonnegative, is_number = True, True, False


class StrictSlack(Slack):
    """b - a of a known inequality a < b."""

    is_positive = True


@dataclass(frozen=True)
class Rule:
    """A law of algebra or analysis, applied at every place where it fits. `lemma`: cited, not proved here."""

    words: str
    at: callable
    relation: str = "="
    lemma: bool = False

    def rewrite(self, expression):
        return walk(expression, self.at)


def _last_index(node):
    if not isinstance(node, PathSum):
        return None
    factor, first, last, q, n = node.args
    if q == 1:
        return factor(first, last, 1)
    if not decided(q > 1):
        return None
    k = sympy.Dummy("k", integer=True, positive=True)
    return sympy.Sum(PathSum(factor, first, k, q - 1, n) * factor(k, last, q), (k, 1, n))


last_index = Rule("the sum over l_{q-1} last; its factors m < q do not hold l_q (definition of nested sums)", _last_index)


def _last_factor(node):
    if not isinstance(node, sympy.Product):
        return None
    (m, low, high), = node.limits
    if high - low == -1:
        return sympy.Integer(1)
    if not decided(high >= low):
        return None
    return sympy.Product(node.function, (m, low, high - 1)) * node.function.subs(m, high)


last_factor = Rule("the last factor of a product apart (definition of products)", _last_factor)


def _last_term(node):
    if not isinstance(node, sympy.Sum) or len(node.limits) != 1:
        return None
    (m, low, high), = node.limits
    if high - low == -1:
        return sympy.Integer(0)
    if not decided(high >= low):
        return None
    return sympy.Sum(node.function, (m, low, high - 1)) + node.function.subs(m, high)


last_term = Rule("the last term of a sum apart (definition of sums)", _last_term)


def _pick(node):
    if not isinstance(node, sympy.Sum) or len(node.limits) != 1:
        return None
    (i, low, _), = node.limits
    for delta in node.function.atoms(sympy.KroneckerDelta):
        rest = node.function.coeff(delta)
        if low == 1 and i in delta.args and node.function == delta * rest:
            other, = (a for a in delta.args if a != i)
            return None if other.has(i) else rest.subs(i, other)
    return None


pick = Rule("a Kronecker delta picks its term of a sum over all units", _pick)


def _pick_terms(node):
    if not isinstance(node, sympy.Sum):
        return None
    terms = sympy.Add.make_args(sympy.expand(node.function))
    picked = [_pick_term(term, node.limits) for term in terms]
    if all(new is None for new in picked):
        return None
    return sympy.Add(*(sympy.Sum(term, *node.limits) if new is None else new for term, new in zip(terms, picked)))


def _pick_term(term, limits):
    """A product summed over `limits`, inner sums joined to it, without the deltas that fix an index; None if none."""
    limits, picked = list(limits), term == 0
    for factor in sympy.Mul.make_args(term):
        if isinstance(factor, sympy.Sum):
            term, limits = term / factor * factor.function, [*factor.limits, *limits]
    for delta in sorted(term.atoms(sympy.KroneckerDelta), key=sympy.default_sort_key):
        for i, other in (delta.args, delta.args[::-1]):
            found = [limit for limit in limits if limit[0] == i and limit[1] == 1 and not other.has(i)]
            rest = term.coeff(delta)
            if found and term == delta * rest and all(a[1:] == found[0][1:] for a in limits if a[0] == other):
                term, picked = rest.xreplace({i: other}), True
                limits = [sympy.Tuple(a[0], *(b.xreplace({i: other}) for b in a[1:])) for a in limits if a[0] != i]
                break
    if not picked:
        return None
    return sympy.Sum(term, *limits) if limits and term != 0 else term


pick_terms = Rule("Kronecker deltas pick their terms of a sum of products over all units", _pick_terms)


def _one_unit(node):
    if not isinstance(node, sympy.Mul) or len(node.atoms(sympy.KroneckerDelta)) < 2:
        return None
    new = sympy.Add(*map(_join_deltas, sympy.Add.make_args(sympy.expand(node))))
    return None if new == node else new


def _join_deltas(term):
    deltas = [a for a in sympy.Mul.make_args(term) if isinstance(a, sympy.KroneckerDelta)]
    for a in deltas:
        for b in deltas:
            shared = set(a.args) & set(b.args)
            if a != b and shared:
                (x,), (y,) = set(a.args) - shared, set(b.args) - shared
                return term / b * sympy.KroneckerDelta(x, y)
    return term


one_unit = Rule("one unit is not two: delta_ac delta_bc = delta_ac delta_ab", _one_unit)


def _same_unit(node):
    if not isinstance(node, sympy.Mul) or not node.has(sympy.KroneckerDelta):
        return None
    new = sympy.Add(*map(_name_once, sympy.Add.make_args(sympy.expand(node))))
    return None if new == node else new


def _name_once(term):
    factors = sympy.Mul.make_args(term)
    for delta in factors:
        if isinstance(delta, sympy.KroneckerDelta):
            kept, other = delta.args
            named = delta * sympy.Mul(*(a for a in factors if a != delta)).xreplace({other: kept})
            if named != term:
                return named
    return term


same_unit = Rule("one unit has one name: delta_ab f(a) = delta_ab f(b)", _same_unit)


def _split(node, i, n):
    if not isinstance(node, sympy.Sum):
        return None
    found = [k for k, low, high in node.limits if (low, high) == (1, n)]
    if not found:
        return None
    k, r = found[0], sympy.Dummy("r", integer=True, positive=True)
    others = [limit for limit in node.limits if limit[0] != k]

    def part(at, *own):
        function, limits = node.function.xreplace({k: at}), [*others, *own]
        return 0 if own and own[0][2] == 0 else sympy.Sum(function, *limits) if limits else function
    return part(i - r, (r, 1, i - 1)) + part(i) + part(i + r, (r, 1, n - i))


def split_at(i, n):
    """Rule: a sum over k = 1..n as those before i, i itself, those after it; i is one of 1..n."""
    return Rule(f"the sum over 1..{n} split at {i}: before, at, after", lambda node: _split(node, i, n))


def _triangle(node):
    if isinstance(node, sympy.Abs) and isinstance(node.args[0], sympy.Sum):
        inner = node.args[0]
        bound = sympy.Sum(sympy.Abs(inner.function), *inner.limits)
        return bound - Slack(bound, node)
    return None


triangle = Rule("triangle inequality", _triangle, "<=", lemma=True)


@dataclass(frozen=True)
class MatrixRows:
    """Multiply out the last matrices of a MatrixEntry: [A B]_j = sum_k [A]_k B_kj; diagonal B: [A]_j B_jj.

    `dense`, `diagonal`: functions (args of the matrix, i, j) -> entry and (args, j) -> entry, by head;
    `row`, `column`: entries of the vectors, by symbol; `n`: the number of units.
    """

    dense: dict
    diagonal: dict
    row: dict
    column: dict
    n: sympy.Symbol
    words = "matrix product in entries"
    relation, lemma = "=", False

    def rewrite(self, expression):
        return walk(expression, lambda node: self._open(*node.args) if isinstance(node, MatrixEntry) else None)

    def _open(self, factors, j):
        factors = sum((list(a.args) if isinstance(a, sympy.Mul) else [a] for a in factors if a != 1), [])
        *rest, last = factors
        if last.is_commutative and not isinstance(last, sympy.Product):
            return last * self._open(rest, j)
        if not rest:
            return self.row[last](j)
        k = sympy.Dummy("k", integer=True, positive=True)
        if last in self.column:
            return sympy.Sum(self._open(rest, k) * self.column[last](k), (k, 1, self.n))
        if last in self.dense:
            return sympy.Sum(self._open(rest, k) * self.dense[last](k, j), (k, 1, self.n))
        if last.func in self.diagonal:
            return self._open(rest, j) * self.diagonal[last.func](j, *last.args)
        return MatrixEntry(factors, j)
