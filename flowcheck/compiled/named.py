"""The same cell with every value of a squashing function as a vector of its own, so that its slope follows without an exponential.

    s = s_prev + in_c g(net_c)   becomes   g_net_c = g(net_c),  s = s_prev + in_c g_net_c,   and g' = 1 - g^2/4 reads g_net_c
"""

from dataclasses import replace

import sympy

from ..equations import Unit
from ..notation import Squashing, symbols

__all__ = ["with_named_values"]


def with_named_values(cell):
    """The Cell with nested squashing functions taken out of its formulas, innermost first. Same weights, states and numbers."""
    equations, named = [], {}
    for equation in cell.equations:
        if isinstance(equation, Unit):
            formula = sympy.sympify(equation.formula)
            nested = sorted(formula.atoms(Squashing), key=sympy.count_ops)
            for call in nested:
                call = call.subs(named)
                if call == formula or not call.free_symbols or call in named:
                    continue
                out = symbols(f"{type(call).__name__}_{equation.out.name}_{len(named)}")
                named[call] = out
                equations.append(Unit(out, call, line=equation.line))
                formula = formula.subs(call, out)
            equation = Unit(equation.out, formula.subs(named) if not isinstance(formula, Squashing) else formula, line=equation.line)
        equations.append(equation)
    return replace(cell, equations=equations)
