"""What SymPy derives from a cell's equations: partial derivatives of every unit, formulas in LaTeX and MathML.

Only pointwise formulas are differentiated here; the chain over nets and over time is linear algebra and
belongs to `kernels`. Nothing is ever unrolled in time.
"""

import sympy

from . import notation
from .equations import Net, axes_of

__all__ = ["equation_latex", "mathml", "one_step_paths", "partials"]


def partials(unit):
    """{argument: d out_i / d argument_i} of one pointwise formula, zeros left out.

    Slopes stay opaque, e.g. d y_in / d net_in = sigma'(net_in).
    """
    formula = sympy.sympify(unit.formula)
    derivatives = {s: sympy.diff(formula, s) for s in unit.reads}
    return {s: d for s, d in derivatives.items() if d != 0}


def equation_latex(equation, cell):
    """One equation of a cell in the paper's notation, e.g. net_{in}(t) = W_{in,x} x(t) + ... + b_{in}."""
    timed = cell.symbols
    left = notation.latex(equation.out, timed)
    if not isinstance(equation, Net):
        return f"{left} = {notation.latex(sympy.sympify(equation.formula), timed)}"
    if equation.kind == "vector":
        return f"{left} = {notation.latex(equation.out)}"
    if equation.fixed:
        source = equation.sources[0]
        short, long = (cell.sizes[source.name], equation.size)[::1 if equation.kind == "shared" else -1]
        right, lost = notation.latex(source, timed), ", ".join(a for a in axes_of(long) if a not in axes_of(short))
        if equation.kind == "pooled":
            return f"{left} = \\sum_{{\\text{{{lost}}}}} {right}"
        words = "one per block" if short == "blocks" else f"the same for all {lost}"
        return f"{left} = {right} \\;\\text{{({words})}}"
    terms = []
    for name, edge in cell.parameters.items():
        if edge.net != equation.out.name:
            continue
        letter, _, rest = name.partition("_")
        weight = f"{letter}_{{{rest.replace('_', ',')}}}" if rest else letter
        source = next((s for s in equation.sources if s.name == edge.source), None)
        product = r" \odot " if equation.kind == "diagonal" else r" \, "
        terms.append(weight if source is None else f"{weight}{product}{notation.latex(source, timed)}")
    return f"{left} = {' + '.join(terms)}"


def mathml(latex):
    """MathML of a LaTeX formula, for a page that needs no script to be read."""
    from latex2mathml.converter import convert

    return convert(latex)


def one_step_paths(cell, cut=frozenset()):
    """{(new state, previous state): [paths]}: the ways in which one state depends on another within one step.

    A path is the tuple of vector names from the previous state to the new one, through edges that are not cut.
    """
    readers = {}
    for equation in cell.equations:
        for s in equation.reads:
            if not any(e.net == equation.out.name and e.source == s.name for e in cut):
                readers.setdefault(s, []).append(equation.out)

    def walk(symbol, path):
        path = (*path, symbol.name)
        if symbol in new_states:
            found.setdefault((symbol.name, path[0]), []).append(path)
        for out in readers.get(symbol, ()):
            walk(out, path)

    new_states, found = set(cell.state.values()), {}
    for old in cell.state:
        walk(old, ())
    return found
