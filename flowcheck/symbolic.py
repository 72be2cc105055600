"""What SymPy derives from a cell's equations: partial derivatives of every unit, formulas in LaTeX and MathML.

Only pointwise formulas are differentiated here; the chain over nets and over time is linear algebra and
belongs to `kernels`. Nothing is ever unrolled in time.
"""

import sympy

from . import notation
from .equations import Net, axes_of

__all__ = ["closed_form", "equation_latex", "mathml", "one_step_paths", "partials", "step_jacobian", "sum_of_products"]


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


def step_jacobian(cell):
    """{(new state, previous state): [product]} of every nonzero block of J(t) = d state(t)/d state(t-1), index [to, from].

        d new / d old = sum of products,   product = diag(f_1) M_1 diag(f_2) M_2 ... diag(f_k)

    A product is the tuple (f_1, M_1, f_2, ...): pointwise factors as SymPy expressions; matrices by name, a weight or "share_NET",
    "sum_NET" for the fixed map of a net.
    """
    equations = {e.out: e for e in cell.equations}
    names = {(edge.net, edge.source): name for name, edge in cell.parameters.items()}
    blocks = {}

    def reach(symbol, old):
        """{tail of matrices and diagonals: pointwise factor before it} of d symbol / d old within the step."""
        if symbol == old or symbol not in equations:
            return {(): sympy.Integer(1)} if symbol == old else {}
        if (symbol, old) not in known:
            known[symbol, old] = found = {}
            equation = equations[symbol]
            slopes = partials(equation) if not isinstance(equation, Net) else dict.fromkeys(equation.sources)
            for source, slope in slopes.items():
                for tail, factor in reach(source, old).items():
                    if slope is not None:
                        found[tail] = found.get(tail, 0) + slope * factor
                    elif equation.kind == "diagonal":
                        found[tail] = found.get(tail, 0) + sympy.Symbol(names[symbol.name, source.name], real=True) * factor
                    else:
                        fixed = {"shared": f"share_{symbol}", "pooled": f"sum_{symbol}"}
                        matrix = fixed.get(equation.kind) or names[symbol.name, source.name]
                        found[(matrix, factor, *tail)] = sympy.Integer(1)
        return known[symbol, old]

    known = {}
    for new in cell.state.values():
        for old in cell.state:
            products = [(factor, *tail) for tail, factor in reach(new, old).items() if factor != 0]
            if products:
                blocks[new.name, old.name] = products
    return blocks


def sum_of_products(products):
    """A block of `step_jacobian` in words: diag(sigma_prime(net)) W_y + ...; 1 is the identity."""
    written = [" ".join(f if isinstance(f, str) else f"diag({f})" for f in product if f != 1) or "1" for product in products]
    return " + ".join(written)


def closed_form(claim, cell):
    """The flow that a claim of a cell gives in closed form, as text; None for a claim that gives none."""
    complex_of = lambda parts: parts[0] if len(parts) == 1 else f"({parts[0]} + i {parts[1]})"  # noqa: E731
    s, gate = complex_of(claim.states), complex_of(claim.arguments) if claim.word == "product" else ""
    left, cut = f"d {s}(t) / d {s}(t-q)", ", recurrent connections cut" if cell.recurrent_edges else ""
    if claim.word == "carousel":
        return f"{left} = identity{cut}"
    if claim.word == "product":
        return f"{left} = diag({gate}(t) {gate}(t-1) ... {gate}(t-q+1)){cut}"
    if claim.word == "delay":
        return f"d state(t) / d state(t-q) = 0 for q >= {claim.arguments[0]}"
    return None
