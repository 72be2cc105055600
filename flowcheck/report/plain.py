"""Formulas for a terminal: the paper's letters in one line of plain text, y^in(t-q) for the activation of a gate q steps back."""

import re
from functools import cache

from sympy.printing.str import StrPrinter

from ..notation import Slope, Squashing

__all__ = ["plain"]

_SIGNS = {"vartheta": "ϑ", "partial": "∂", "Delta": "Δ",
          "delta": "δ", "sigma": "σ", "tau": "τ", "gamma": "γ", "varepsilon": "ε", "alpha": "α",
          "rho": "ρ", "varphi": "φ", "epsilon": "ϵ", "max": "max", "leq": "<=", "diag": "diag", "tanh": "tanh", "#": "#", "|": "‖", ",": ""}
_NAMED = {name: sign for name, sign in _SIGNS.items() if name.isalpha()}


def plain(expression):
    """One line of plain text for a SymPy expression, with the quantities of claims as the paper writes them."""
    return _PlainPrinter().doprint(expression)


def _index(match):
    words = match[1].split()
    if len(words) > 1:
        return "".join(words) if all(len(w) == 1 for w in words) else f"[{' '.join(words)}]"
    return f"[{match[1]}]" if re.search(r"\w[-+]", match[1]) else match[1].strip()


class _PlainPrinter(StrPrinter):
    printmethod = "_plain"

    @staticmethod
    @cache
    def unlatex(text):
        """LaTeX of one letter with its indices, without LaTeX."""
        text = re.sub(r"(?<=\w) ([-+]) (?=\w)", r"\1", text)
        text = re.sub(r"\\(?:left|right|mathrm|overline|text) ?", "", text)
        text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", text)
        text = re.sub(r"\\(Delta|partial|delta|epsilon) ", lambda m: _SIGNS[m[1]], text)
        text = re.sub(r"\\([A-Za-z]+|[#|,])", lambda m: _SIGNS.get(m[1], m[1]), text)
        while (new := re.sub(r"\{([^{}]*)\}", _index, text)) != text:
            text = new
        return text

    def _print_Symbol(self, symbol):  # noqa: N802  (SymPy's hooks)
        return _NAMED.get(symbol.name) or self.unlatex(symbol.name)

    _print_Dummy = _print_Symbol

    def _print_Function(self, node):  # noqa: N802
        if isinstance(node, (Squashing, Slope)):
            of = node.squashing if isinstance(node, Slope) else type(node)
            return f"{self.unlatex(of.letter)}{chr(39) if isinstance(node, Slope) else ''}({self._print(node.args[0])})"
        return super()._print_Function(node)

    def _print_Relational(self, node):  # noqa: N802
        sign = {"==": "=", "!=": "is not"}.get(node.rel_op, node.rel_op)
        return f"{self._print(node.lhs)} {sign} {self._print(node.rhs)}"

    def _print_Sum(self, node):  # noqa: N802
        return self._over("sum", node)

    def _print_Product(self, node):  # noqa: N802
        return self._over("prod", node)

    def _over(self, word, node):
        ranges = ", ".join(f"{self._print(i)}={self._print(low)}..{self._print(high)}".replace(" ", "") for i, low, high in node.limits)
        body = self._print(node.function)
        return f"{word}[{ranges}] {f'({body})' if node.function.is_Add else body}"

    def _print_Abs(self, node):  # noqa: N802
        return f"|{self._print(node.args[0])}|"

    def _print_KroneckerDelta(self, node):  # noqa: N802
        return f"δ[{', '.join(self._print(a) for a in node.args)}]"

    def _print_Pow(self, node, rational=False):  # noqa: N802
        return super()._print_Pow(node, rational).replace("**", "^")

    def _print_Mul(self, node):  # noqa: N802
        return super()._print_Mul(node).replace("*", " ")

    def _print_Piecewise(self, node):  # noqa: N802
        return "{ " + ";  ".join(f"{self._print(value)}  if {self._print(condition)}" for value, condition in node.args) + " }"
