"""Loops that evaluate pointwise formulas at all steps of a run: the slopes that rows of errors are multiplied by (`flow.rows`).

Printed once for a cell, whatever its lengths: each formula, and each part that several have in common, is a loop of its own over the
entries, short enough to be turned into vector instructions.
"""

from functools import cache

import numpy as np
import sympy

from .modules import load
from .printer import Printer

__all__ = ["evaluated"]


def evaluated(run, b, formulas):
    """(values, largest) of formulas[i][j] in the vectors of a step, at all steps of sequence b:

        values[t, i, j, m],   largest[t, j] = max over m of the root of the sum over i of values[t, i, j, m]^2

    Raises EquationError for a function that cannot be printed.
    """
    storage, formulas = run.program.storage, tuple(map(tuple, formulas))
    loop, names = _loop(run.kernel, formulas, run.program.interpreted)
    before = [name in run.kernel.states for name in names]
    places = np.array([storage.array(name)[1] for name in names], np.int64)
    n = storage.length(next(iter(run.kernel.states)))
    values = np.empty((run.steps, len(formulas), len(formulas[0]), n))
    largest = np.empty((run.steps, len(formulas[0])))
    loop(run.rows[b], places, np.array(before, np.int64), values, largest)
    return values, largest


@cache
def _loop(kernel, formulas, interpreted):
    """(function, names of the vectors that it reads in the order of their places)."""
    flat = [sympy.sympify(f) for row in formulas for f in row]
    named, reduced = sympy.cse(flat, symbols=(sympy.Symbol(f"part_{k}") for k in range(10**6)))
    known = {symbol.name for symbol, _ in named}
    names = sorted({s.name for f in flat for s in f.free_symbols})
    texts = {name: f"v{k}[m]" for k, name in enumerate(names)} | {name: f"{name}[m]" for name in known}
    printed = Printer.formula(kernel.cell, texts)
    lines = ["def evaluate(rows, places, before, values, largest):", "    n = values.shape[3]",
             *(f"    {name} = np.empty(n)" for name in sorted(known)), "    for t in range(values.shape[0]):"]
    lines += [f"        v{k} = rows[t + 1 - before[{k}], places[{k}]:places[{k}] + n]" for k in range(len(names))]
    for symbol, part in named:
        lines += ["        for m in range(n):", f"            {symbol.name}[m] = {printed(part)}"]
    for k, formula in enumerate(reduced):
        i, j = divmod(k, len(formulas[0]))
        lines += [f"        out = values[t, {i}, {j}]", "        for m in range(n):", f"            out[m] = {printed(formula)}"]
    lines += ["        for j in range(values.shape[2]):", "            top = 0.0", "            for m in range(n):",
              f"                square = {' + '.join(f'values[t, {i}, j, m] * values[t, {i}, j, m]' for i in range(len(formulas)))}",
              "                top = square if square > top else top", "            largest[t, j] = math.sqrt(top)"]
    return load(f"{kernel.cell.name} slopes", "\n".join(lines), ["evaluate"], interpreted)["evaluate"], names
