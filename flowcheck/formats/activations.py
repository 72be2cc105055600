"""Cells with other squashing functions: the same equations, the functions in their units replaced.

A cell of this kind has a name that says all of it, `lstm[f=hard_sigmoid(0.2, 0.5)]`, and `cell_by_name` builds it from the
name. The letters are the paper's: f squashes the gates (the logistic function's place), g the candidate, h the internal state
(both tanh's place).
"""

import math
import re
from dataclasses import replace

import sympy

from ..equations import Net
from ..notation import sigma, tanh
from .errors import FormatError, shown

__all__ = ["ACTIVATIONS", "cell_by_name", "spec", "with_activations"]

# name: (default numbers, formula). Alpha and beta as in the ONNX operators.
ACTIVATIONS = {
    "sigmoid": ((), sigma),
    "tanh": ((), tanh),
    "linear": ((), lambda z: z),
    "relu": ((), lambda z: sympy.Max(z, 0)),
    "relu6": ((), lambda z: sympy.Max(0, sympy.Min(6, z))),
    "hard_sigmoid": ((0.2, 0.5), lambda z, a, b: sympy.Max(0, sympy.Min(1, a * z + b))),
    "hard_tanh": ((), lambda z: sympy.Max(-1, sympy.Min(1, z))),
    "leaky_relu": ((0.01,), lambda z, a: sympy.Max(z, 0) + a * sympy.Min(z, 0)),
    "elu": ((1.0,), lambda z, a: sympy.Max(z, 0) + a * (sympy.exp(sympy.Min(z, 0)) - 1)),
    "scaled_tanh": ((1.0, 1.0), lambda z, a, b: a * tanh(b * z)),
    "affine": ((1.0, 0.0), lambda z, a, b: a * z + b),
    "softsign": ((), lambda z: z / (1 + sympy.Abs(z))),
    "softplus": ((), lambda z: sympy.Max(z, 0) + sympy.log(1 + sympy.exp(-sympy.Abs(z)))),
    "exponential": ((), sympy.exp),
    "silu": ((), lambda z: z * sigma(z)),
}
OWN = {"f": "sigmoid", "g": "tanh", "h": "tanh"}
SPEC = re.compile(r"([a-z0-9_]+)(?:\(([^()]*)\))?")
NAME = re.compile(r"([A-Za-z0-9_]+)(?:\[([^\[\]]*)\])?")


def spec(name, *numbers):
    """The text that stands for an activation, "hard_sigmoid(0.2, 0.5)"; numbers left out are the defaults."""
    defaults = ACTIVATIONS[name][0]
    numbers = [float(n) for n in (*numbers, *defaults[len(numbers):])]
    return f"{name}({', '.join(map(repr, numbers))})" if numbers else name


def with_activations(cell, activations, where):
    """The cell with {"f" | "g" | "h": text} in place of its own functions; the cell itself where they are the same.

    Raises FormatError for an unknown function, numbers that do not fit it, and a letter that the cell has no place for.
    """
    formulas = {letter: _formula(text, where) for letter, text in activations.items()}
    texts = {letter: text for letter, (text, _) in formulas.items() if text != OWN[letter]}
    states, nets = set(cell.state.values()), {e.out for e in cell.equations if isinstance(e, Net)}
    used = set()

    def put(letter, argument, own):
        if letter not in texts:
            return own(argument)
        used.add(letter)
        return formulas[letter][1](argument)

    def squash(argument):
        letter = "h" if argument in states and argument not in nets else "g"
        return put(letter, argument, tanh)

    equations = [e if isinstance(e, Net) else replace(
        e, formula=sympy.sympify(e.formula).replace(tanh, squash).replace(sigma, lambda z: put("f", z, sigma)))
        for e in cell.equations] if texts else cell.equations
    if set(texts) - used:
        raise FormatError(f"{where}: cell {cell.name} has no place for {', '.join(f'{k}={texts[k]}' for k in sorted(set(texts) - used))}; "
                          "letters are f for gates, g for the candidate, h for the state")
    if not texts:
        return cell
    name = f"{cell.name}[{'; '.join(f'{k}={texts[k]}' for k in sorted(texts))}]"
    return replace(cell, name=name, equations=equations)


def cell_by_name(name, cells, where):
    """The cell of a name, with activations in brackets or without. Raises FormatError for what the catalogue does not have."""
    found = NAME.fullmatch(name)
    if not found or found[1] not in cells:
        raise FormatError(f"{where}: there is no cell {shown(name)!r}, expected one of {', '.join(cells)}")
    pairs = [part.partition("=") for part in (found[2] or "").split(";") if part.strip()]
    given = {letter.strip(): text.strip() for letter, _, text in pairs}
    if given.keys() - OWN.keys() or len(given) < len(pairs):
        letters = ", ".join(shown(k, 20) for k in list(given)[:4])
        raise FormatError(f"{where}: {shown(name)!r} replaces {letters}, expected f, g or h, each once")
    return with_activations(cells[found[1]], given, where)


def _formula(text, where):
    """(text in full, formula) of one activation."""
    found = SPEC.fullmatch(text)
    if not found or found[1] not in ACTIVATIONS:
        raise FormatError(f"{where}: activation {shown(text)!r} is none of {', '.join(ACTIVATIONS)}; a cell squashes unit by unit with one "
                          "of these")
    try:
        numbers = [float(n) for n in found[2].split(",")] if found[2] else []
    except ValueError:
        numbers = [math.nan]
    defaults, formula = ACTIVATIONS[found[1]]
    if len(numbers) > len(defaults) or not all(map(math.isfinite, numbers)):
        raise FormatError(f"{where}: activation {shown(text)!r} has other numbers than {len(defaults)} finite ones; as {spec(found[1])}")
    numbers = (*numbers, *defaults[len(numbers):])
    return spec(found[1], *numbers), lambda z: formula(z, *numbers)
