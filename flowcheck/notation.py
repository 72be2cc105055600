"""The paper's symbols and squashing functions, for SymPy and for numbers alike.

Turns a letter of the paper into a SymPy object that prints as the paper prints it, and a squashing
function into a routine that is accurate for every real argument and safe for complex ones (the
complex-step oracle runs through it). Imports SymPy, NumPy and SciPy only; knows nothing of cells.

A squashing function f and its slope f' are two SymPy functions. The slope is kept opaque (it prints
as f'(net), as in the paper) and has a routine of its own, because f (1 - f) loses every digit where
f rounds to 1; `in_terms_of_value` gives the polynomial form that proofs use.
"""

import functools

import numpy as np
import sympy
from sympy.printing.latex import LatexPrinter

__all__ = [
    "ROUTINES", "Slope", "Squashing", "by_definition", "column", "draw", "g", "h", "in_terms_of_value", "index_symbols", "latex",
    "routines", "row", "sigma", "softplus", "squashing_functions", "squashing_ufuncs", "symbols", "tanh", "units",
]


def symbols(names, **assumptions):
    """SymPy symbols for vectors of a cell: real, so that equal names are equal symbols.

    `symbols("y")` is one symbol, `symbols("x y_prev")` a tuple. `_prev` marks time t-1, no suffix time t.
    A state with `positive=True` starts positive in the random nets of a check.
    """
    return sympy.symbols(names, real=True, **assumptions)


draw, row, column, units = sympy.symbols("draw row column units", real=True)
"""What formulas of initial values may have: a uniform random number in (0, 1) of each entry, its row and column from 0 (the axes of a
matrix of values; a vector has its entries in rows), and the number of units."""

index_symbols = (row, column, units)


class Slope(sympy.Function):
    """The derivative f' of a squashing function f, as a function of the net input."""

    nargs = 1

    def fdiff(self, argindex=1):
        z = sympy.Dummy("z")
        return self.squashing.polynomial(z).diff(z).subs(z, self.args[0])

    def _latex(self, printer, exp=None):
        return _call_latex(printer, self.squashing.letter + "'", self.args[0], exp)


class Squashing(sympy.Function):
    """A function f of one net input with a slope f', a polynomial form of f' in f, and a range."""

    nargs = 1

    def fdiff(self, argindex=1):
        return self.slope(self.args[0])

    @classmethod
    def polynomial(cls, z):
        """f'(z) written in f(z), e.g. f (1 - f) for the logistic function."""
        return cls.slope_in_value(cls(z))

    def _eval_rewrite(self, rule, args, **hints):
        if rule is sympy.exp:
            return type(self).as_exp(args[0])
        return None

    def _latex(self, printer, exp=None):
        return _call_latex(printer, self.letter, self.args[0], exp)


def _call_latex(printer, letter, argument, exp):
    power = "" if exp is None else f"^{{{exp}}}"
    return rf"{letter}{power}\left({printer._print(argument)}\right)"


def _logistic(z):
    return 1 / (1 + sympy.exp(-z))


class sigma(Squashing):  # noqa: N801  (the paper's letter)
    """Logistic function f(x) = 1 / (1 + exp(-x)), range [0, 1]; equation (3). f' = f (1 - f) <= 1/4."""

    letter, bounds, slope_max = r"\sigma", (0, 1), sympy.Rational(1, 4)
    slope_in_value = staticmethod(lambda f: f * (1 - f))
    as_exp = staticmethod(_logistic)


class h(Squashing):  # noqa: N801
    """h(x) = 2 / (1 + exp(-x)) - 1 = tanh(x/2), range [-1, 1]; equation (4). h' = (1 - h^2) / 2 <= 1/2."""

    letter, bounds, slope_max = "h", (-1, 1), sympy.Rational(1, 2)
    slope_in_value = staticmethod(lambda f: (1 - f**2) / 2)
    as_exp = staticmethod(lambda z: 2 * _logistic(z) - 1)


class g(Squashing):  # noqa: N801
    """g(x) = 4 / (1 + exp(-x)) - 2 = 2 tanh(x/2), range [-2, 2]; equation (5). g' = 1 - g^2/4 <= 1."""

    letter, bounds, slope_max = "g", (-2, 2), sympy.Integer(1)
    slope_in_value = staticmethod(lambda f: 1 - f**2 / 4)
    as_exp = staticmethod(lambda z: 4 * _logistic(z) - 2)


class tanh(Squashing):  # noqa: N801
    """tanh(x), range [-1, 1]; tanh' = 1 - tanh^2 <= 1."""

    letter, bounds, slope_max = r"\tanh", (-1, 1), sympy.Integer(1)
    slope_in_value = staticmethod(lambda f: 1 - f**2)
    as_exp = staticmethod(lambda z: 2 * _logistic(2 * z) - 1)


class softplus(sympy.Function):  # noqa: N801
    """log(1 + exp(x)) > 0; its slope is the logistic function. log sigma(x) = -softplus(-x)."""

    nargs = 1

    def fdiff(self, argindex=1):
        return sigma(self.args[0])

    as_exp = staticmethod(lambda z: sympy.log(1 + sympy.exp(z)))


def squashing_functions():
    """All squashing functions by name."""
    return {f.__name__: f for f in Squashing.__subclasses__()}


for _f in Squashing.__subclasses__():
    _f.slope = type(f"{_f.__name__}_prime", (Slope,), {"squashing": _f, "__doc__": f"Slope of {_f.__name__}."})


def in_terms_of_value(expression):
    """The same expression with every slope f'(z) written in f(z), so that identities become polynomial."""
    return sympy.sympify(expression).replace(
        lambda node: isinstance(node, Slope), lambda node: node.squashing.polynomial(node.args[0])
    )


def by_definition(expression):
    """The same expression with every function of this module written out by exp and log."""
    return sympy.sympify(expression).replace(lambda node: hasattr(node, "as_exp"), lambda node: node.as_exp(node.args[0]))


# Routines. e = exp(-|Re z|) never overflows, keeps full relative accuracy on both sides, and each
# branch is analytic in z, so the imaginary part that the complex step reads is right.


def _decaying_exp(z):
    positive = z.real >= 0
    return positive, np.exp(np.where(positive, -z, z))


def _sigma(z):
    z = np.asarray(z)
    if z.dtype.kind == "f":
        return _logistic_ufunc()(z)
    positive, e = _decaying_exp(z)
    return np.where(positive, 1, e) / (1 + e)


def _sigma_prime(z, inner=1, outer=1):
    """outer sigma'(inner z), so that each slope takes one pass."""
    z = np.asarray(z)
    if z.dtype.kind != "f":
        e = _decaying_exp(inner * z)[1]
        return outer * e / (1 + e) ** 2
    found = np.empty_like(z, order="C")
    flat, out, whole = z.reshape(-1), found.reshape(-1), np.empty(min(z.size, _TOGETHER), z.dtype)
    for start in range(0, z.size, _TOGETHER):  # so few that they stay in the cache: more would cost more than the arithmetic
        e, total = out[start:start + _TOGETHER], whole[:z.size - start]
        np.exp(np.multiply(np.abs(flat[start:start + _TOGETHER], out=e), -inner, out=e), out=e)
        np.square(np.add(e, 1, out=total), out=total)
        np.divide(e, total, out=e)
        if outer != 1:
            np.multiply(e, outer, out=e)
    return found


_TOGETHER = 2**13
"""Entries that a slope is evaluated of at a time."""


def _softplus(z):
    positive, e = _decaying_exp(np.asarray(z))
    if np.iscomplexobj(e):  # NumPy's complex log1p goes through log(1 + e)
        log1p = np.log1p(2 * e.real + np.abs(e) ** 2) / 2 + 1j * np.arctan2(e.imag, 1 + e.real)
    else:
        log1p = np.log1p(e)
    return np.where(positive, z, 0) + log1p


def _heaviside(z, at_zero=0.5):
    """The step function, real for complex z; SymPy's own way of printing it takes up to a second per formula."""
    return np.heaviside(np.real(z), at_zero)


@functools.cache
def _logistic_ufunc():
    from scipy.special import expit  # a tenth of a second that formulas do not need

    return expit


@functools.cache
def squashing_ufuncs():
    """{squashing function: a ufunc of real arrays that is accurate everywhere}."""
    return {"sigma": _logistic_ufunc(), "tanh": np.tanh}


ROUTINES = {
    "Heaviside": _heaviside,
    "sigma": _sigma,
    "softplus": _softplus,
    "sigma_prime": _sigma_prime,
    "h": lambda z: np.tanh(z / 2),
    "h_prime": lambda z: _sigma_prime(z, outer=2),
    "g": lambda z: 2 * np.tanh(z / 2),
    "g_prime": lambda z: _sigma_prime(z, outer=4),
    "tanh": np.tanh,
    "tanh_prime": lambda z: _sigma_prime(z, 2, 4),
}


def routines(namespace="numpy"):
    """Tables for SymPy's lambdify: "numpy", "torch", or "mpmath" for object arrays of mpmath numbers, from the definitions."""
    if namespace == "numpy":
        return [ROUTINES, "numpy"]
    if namespace == "torch":
        return [_torch_routines()]
    import mpmath

    functions = {"softplus": np.frompyfunc(lambda z: mpmath.log(1 + mpmath.exp(z)), 1, 1)}
    for name, f in squashing_functions().items():
        z = sympy.Symbol("z")
        for key, expression in ((name, f.as_exp(z)), (f"{name}_prime", f.as_exp(z).diff(z))):
            functions[key] = np.frompyfunc(sympy.lambdify(z, expression, modules="mpmath"), 1, 1)
    return [functions | {f: np.frompyfunc(getattr(mpmath, f), 1, 1) for f in ("exp", "log", "sqrt", "cos", "sin")}, "mpmath"]


def _torch_routines():
    import torch

    def sigma_prime(z):
        e = torch.exp(-torch.abs(z))
        return e / (1 + e) ** 2

    def either(choose):
        def chosen(a, b):
            like = a if torch.is_tensor(a) else b
            return choose(*(torch.asarray(v, dtype=like.dtype, device=like.device) for v in (a, b)))
        return chosen

    def select(conditions, choices, default):
        like = next(c for c in conditions if torch.is_tensor(c))
        found = torch.full(like.shape, default, device=like.device)
        for condition, choice in reversed(list(zip(conditions, choices, strict=True))):
            found = torch.where(torch.asarray(condition, device=like.device), choice, found)
        return found

    table = {
        "sigma": torch.sigmoid, "sigma_prime": sigma_prime, "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),
        "h": lambda z: torch.tanh(z / 2), "h_prime": lambda z: 2 * sigma_prime(z), "g": lambda z: 2 * torch.tanh(z / 2),
        "g_prime": lambda z: 4 * sigma_prime(z), "tanh": torch.tanh, "tanh_prime": lambda z: 4 * sigma_prime(2 * z),
        "reduce": functools.reduce, "maximum": either(torch.maximum), "minimum": either(torch.minimum), "select": select,
    }
    same = ("abs", "cos", "equal", "exp", "greater", "greater_equal", "less", "less_equal", "log", "nan", "sign", "sin", "sqrt")
    return table | {name: getattr(torch, name) for name in same} | {"equal": torch.eq}


class _PaperPrinter(LatexPrinter):
    """LaTeX with the paper's time marks: net_c is net_c(t), s_prev is s(t-1), y_in is y^{in}(t)."""

    def _print_Symbol(self, symbol, style="plain"):  # noqa: N802  (SymPy's hook)
        if not (symbol.is_real and symbol in self._settings.get("timed", ())):
            return super()._print_Symbol(symbol)
        name, time = symbol.name, "t"
        if name.endswith("_prev"):
            name, time = name.removesuffix("_prev"), "t-1"
        head, _, role = name.partition("_")
        head = r"\mathrm{net}" if head == "net" else head
        mark = "" if not role else (rf"_{{{role}}}" if head.startswith("\\") else rf"^{{{role}}}")
        return f"{head}{mark}({time})"


_PaperPrinter._default_settings = LatexPrinter._default_settings | {"timed": ()}


def latex(expression, timed=()):
    """LaTeX of an expression; the symbols in `timed` are vectors of a cell and carry (t) or (t-1)."""
    return _PaperPrinter({"timed": frozenset(timed)}).doprint(expression)
