"""Rules (see `rules`) that take derivatives through the forward equations: direct ones, and the chain rule."""

from dataclasses import dataclass

import sympy

from .quantities import partial
from .rules import fresh, walk

__all__ = ["Differentiate", "LocalDerivative"]


@dataclass(frozen=True)
class LocalDerivative:
    """partial(a, b) of one forward equation a = formula, by SymPy, everything else in the formula held fixed."""

    equation: object
    relation, lemma = "=", False

    @property
    def words(self):
        return f"direct derivative of: {self.equation.words}"

    @property
    def using(self):
        return (self.equation,)

    def rewrite(self, expression):
        def at(node):
            if type(node) is partial:
                formula = self.equation.instance(node.args[0])
                return None if formula is None else sympy.diff(formula, node.args[1])
            return None
        return walk(expression, at)


@dataclass(frozen=True)
class Differentiate:
    """partial(a, b) or total(a, b) through an equation a = formula: product and chain rule down to the heads in `through`."""

    equation: object
    through: tuple
    relation, lemma = "=", False

    @property
    def words(self):
        return f"differentiated: {self.equation.words}"

    @property
    def using(self):
        return (self.equation,)

    def rewrite(self, expression):
        def at(node):
            if isinstance(node, partial):
                formula = self.equation.instance(node.args[0])
                return None if formula is None else self._derivative(fresh(formula), node)
            return None
        return walk(expression, at)

    def _derivative(self, formula, node):
        if isinstance(formula, self.through):
            return node.func(formula, node.args[1])
        if not formula.has(*self.through):
            return sympy.Integer(0)
        if isinstance(formula, sympy.Sum):
            return sympy.Sum(self._derivative(formula.function, node), *formula.limits)
        if isinstance(formula, (sympy.Add, sympy.Mul)):
            parts = formula.args
            others = [sympy.Mul(*parts[:k], *parts[k + 1:]) if formula.is_Mul else 1 for k in range(len(parts))]
            return sympy.Add(*(self._derivative(a, node) * rest for a, rest in zip(parts, others)))
        return sympy.Add(*(sympy.diff(formula, a) * node.func(a, node.args[1]) for a in formula.atoms(*self.through)))
