"""One pointwise formula (SymPy) as an expression of Python, its symbols as entries of arrays."""

import sympy
from sympy.printing.pycode import PythonCodePrinter

from ..equations import EquationError
from .routines import ROUTINES

__all__ = ["Formula"]

_MATH = {"exp": "math.exp", "log": "math.log", "sqrt": "math.sqrt", "cos": "math.cos", "sin": "math.sin", "Abs": "abs", "Max": "max",
         "Min": "min", "sign": "sign", "Heaviside": "heaviside", "softplus": "softplus"}


class Formula(PythonCodePrinter):
    """Formulas with symbols replaced by the text of array entries."""

    def __init__(self, texts, cell):
        super().__init__({"fully_qualified_modules": False})
        self.texts, self.cell = texts, cell

    def _print_Symbol(self, symbol):  # noqa: N802  (SymPy's hook)
        return self.texts.get(symbol.name, symbol.name)

    def _print(self, node, **kwargs):
        if isinstance(node, sympy.Function | sympy.Max | sympy.Min) and not isinstance(node, sympy.Piecewise):
            return self._function(node)
        return super()._print(node, **kwargs)

    def _function(self, node):
        name = type(node).__name__
        known = name if name in ROUTINES else _MATH.get(name)
        if known is None:
            raise EquationError(f"{self.cell.name}: the function {name} cannot be compiled to loops "
                                f"(functions that can: {', '.join((*ROUTINES, *_MATH))}); use the NumPy functions")
        arguments = node.args[:1] if name == "Heaviside" else node.args
        return f"{known}({', '.join(map(self._print, arguments))})"

    def _print_Pow(self, node, **kwargs):  # noqa: N802
        base, power = node.as_base_exp()
        if power == sympy.Rational(1, 2):
            return f"math.sqrt({self._print(base)})"
        if power.is_Integer and 2 <= power <= 4:
            return "(" + "*".join([self.parenthesize(base, 100)] * int(power)) + ")"
        if power.is_Integer and power < 0:
            return f"(1.0/{self._print_Pow(base**-power) if power < -1 else self.parenthesize(base, 100)})"
        return super()._print_Pow(node, **kwargs)

    def _print_Rational(self, node):  # noqa: N802
        return f"({node.p}.0/{node.q}.0)"

    def _print_Integer(self, node):  # noqa: N802
        return f"{node.p}.0"
