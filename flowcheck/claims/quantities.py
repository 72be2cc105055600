"""The paper's quantities as opaque SymPy terms that print as the paper prints them.

A quantity carries its unit indices and its lag: `net(i, q)` is net_i(t-q). Sums over all paths of a net
and products of matrices, whose length is a symbol, are terms too. Imports SymPy only; states no law: the laws
that open such a term are in `rules`.
"""

import sympy
from sympy.printing.precedence import PRECEDENCE

__all__ = ["MatrixEntry", "PathSum", "indices", "lag", "partial", "quantity", "total"]


def indices(names):
    """Unit indices, and sizes of ranges: positive integers."""
    return sympy.symbols(names, integer=True, positive=True)


def lag(names):
    """Numbers of steps back from t, such as q and m: nonnegative integers."""
    return sympy.symbols(names, integer=True, nonnegative=True)


class _Printed:
    """One printed argument: "{0}" is the term, "{0:t}" the time t minus the term."""

    def __init__(self, term, printer):
        self.term, self.printer = term, printer

    def __format__(self, spec):
        if spec != "t":
            return self.printer._print(self.term)
        terms = sorted(sympy.Add.make_args(-self.term), key=lambda a: (a.is_number, sympy.default_sort_key(a)))
        signs = ["-" if a.could_extract_minus_sign() else "+" for a in terms]
        return "t" + "".join(s + self.printer._print(-a if s == "-" else a) for s, a in zip(signs, terms) if a != 0)


def quantity(name, template, commutative=True, **assumptions):
    """A real function of indices and lags, printed by a LaTeX template, e.g. r"y^{{{0}}}({1:t})" for y^u(t-q).

    Every call makes a new one: two quantities of the same name are different.
    """
    def _latex(self, printer, exp=None):
        body = template.format(*(_Printed(a, printer) for a in self.args))
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"

    def _plain(self, printer):
        return printer.unlatex(template.format(*(_Printed(a, printer) for a in self.args)))

    known = {f"is_{a}": value for a, value in ({"real": True, **assumptions} if commutative else {"commutative": False}).items()}
    return type(name, (sympy.Function,), {**known, "is_number": False, "_diff_wrt": True,
                                    "_latex": _latex, "_plain": _plain, "template": template})


class partial(sympy.Expr):  # noqa: N801  (reads as the sign it prints)
    """d x / d y, held: the direct derivative of one equation, or the flow from error y to error x."""

    sign = r"\partial"

    is_commutative, is_real, is_number = True, True, False

    def __new__(cls, x, y):
        return sympy.Expr.__new__(cls, sympy.sympify(x), sympy.sympify(y))

    def _latex(self, printer, exp=None):
        x, y = map(printer._print, self.args)
        body = rf"\frac{{{self.sign} {x}}}{{{self.sign} {y}}}"
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"

    def _sympystr(self, printer):
        return "d{}/d{}".format(*map(printer._print, self.args))

    def _plain(self, printer):
        x, y = map(printer._print, self.args)
        return printer.unlatex(f"{self.sign} {x}/{self.sign} {y}")


class total(partial):  # noqa: N801
    """d x / d y, held: everything that y changes on its way to x, through all equations between them."""

    sign = r"\mathrm{d}"


class PathSum(sympy.Expr):
    """Sum over all paths of q steps through n units, with l_0 = first and l_q = last.

        sum_{l_1=1}^n ... sum_{l_{q-1}=1}^n prod_{m=1}^q factor(l_{m-1}, l_m, m)

    `factor` is a SymPy Lambda of (l_{m-1}, l_m, m).
    """

    is_commutative, is_real, is_number = True, True, False

    def __new__(cls, factor, first, last, q, n):
        return sympy.Expr.__new__(cls, factor, *map(sympy.sympify, (first, last, q, n)))

    def _latex(self, printer, exp=None):
        factor, _, _, q, n = self.args
        one_factor = factor(sympy.Symbol("l_{m-1}"), sympy.Symbol("l_{m}"), sympy.Symbol("m"))
        q, n, last = (printer._print(a) for a in (q, n, q - 1))
        return (rf"\sum_{{l_1=1}}^{{{n}}} \cdots \sum_{{l_{{{last}}}=1}}^{{{n}}} "
                rf"\prod_{{m=1}}^{{{q}}} {printer.parenthesize(one_factor, PRECEDENCE['Mul'], strict=True)}")

    def _plain(self, printer):
        factor, _, _, q, n = self.args
        one_factor = factor(sympy.Symbol("l_{m-1}"), sympy.Symbol("l_m"), sympy.Symbol("m"))
        one_factor = printer.parenthesize(one_factor, PRECEDENCE["Mul"], strict=True)
        q, n, last = (printer._print(a).replace(" ", "") for a in (q, n, q - 1))
        return f"sum[l_1, ..., l_[{last}]=1..{n}] prod[m=1..{q}] {one_factor}"


class MatrixEntry(sympy.Expr):
    """Entry j of the row vector A B C ..., or the number A B C ... where j is left out.

    The factors are kept in order; a factor may be a `sympy.Product` of matrices, ordered from left to right.
    """

    is_commutative, is_real, is_number = True, True, False

    def __new__(cls, factors, j=0):
        return sympy.Expr.__new__(cls, sympy.Tuple(*factors), sympy.sympify(j))

    def _latex(self, printer, exp=None):
        factors, j = self.args
        body = " ".join(rf"\left({printer._print(a)}\right)" if isinstance(a, sympy.Product) else printer._print(a)
                        for a in factors)
        return body if j == 0 else rf"\left[{body}\right]_{{{printer._print(j)}}}"

    def _plain(self, printer):
        factors, j = self.args
        body = " ".join(map(printer._print, factors))
        return body if j == 0 else f"[{body}]_{printer._print(j)}"
