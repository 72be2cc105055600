"""A formula of arrays as calls that write where they are told: the same numbers as the formula, without new arrays."""

import ast
import inspect
from dataclasses import dataclass

import numpy as np

from .notation import squashing_ufuncs

__all__ = ["OUT", "Call", "calls"]

OUT = "<out>"
"""What the last call writes."""

_UFUNCS = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.USub: np.negative}


@dataclass(frozen=True)
class Call:
    """ufunc(*operands, into): names of the formula's arguments, numbers, OUT, or arrays to work in, "<0>", "<1>" and so on."""

    ufunc: np.ufunc
    operands: tuple
    into: str


def calls(function):
    """(names of the arguments, Calls, how many arrays to work in) of a formula of real arrays of one shape; None for a formula of more than
    arithmetic, squares and calls of ufuncs, or whose text is not known."""
    try:
        tree = ast.parse(inspect.getsource(function)).body[0]
    except OSError:
        return None
    *assigned, last = tree.body
    arguments = [a.arg for a in tree.args.args]
    found = _Calls(dict(zip(arguments, arguments, strict=True)), function.__globals__ | squashing_ufuncs())
    try:
        for line in assigned:
            found.keep(line.targets[0].id, line.value)
        found.last(last.value)
    except _NoCallError:
        return None
    return arguments, found.calls, found.works


class _NoCallError(Exception):
    """Something else than arithmetic, squares and calls of ufuncs."""


class _Calls:
    """Calls as they are found, from the inside of a formula to the outside."""

    def __init__(self, known, functions):
        self.known, self.functions, self.calls, self.works = known, functions, [], 0
        self.free = set()  # arrays to work in whose values are read once

    def keep(self, name, node):
        """Remember a value that is read more than once."""
        self.known[name] = self.value(node)
        self.free.discard(self.known[name])

    def last(self, node):
        """Write a value to OUT."""
        value = self.value(node, OUT)
        if value != OUT:
            self.calls.append(Call(np.positive, (value,), OUT))

    def value(self, node, into=None):
        """Name of the value of a node: of one that is there, or of `into`, or of an array to work in, to which calls write it."""
        if isinstance(node, ast.Constant):
            return repr(node.value)
        if isinstance(node, ast.Name) and node.id in self.known:
            return self.known[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
            return ast.unparse(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and ast.unparse(node.right) == "2":
            ufunc, of = np.square, [node.left]  # as ** does; other powers are left to it
        elif isinstance(node, ast.BinOp | ast.UnaryOp):
            ufunc, of = _UFUNCS.get(type(node.op)), [node.left, node.right] if isinstance(node, ast.BinOp) else [node.operand]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            ufunc, of = self.functions.get(node.func.id), node.args
        else:
            raise _NoCallError
        if not isinstance(ufunc, np.ufunc):
            raise _NoCallError
        found = tuple(self.value(n, None if k else into) for k, n in enumerate(of))
        into = into or next((f for f in found if f in self.free), None)
        if into is None:
            into = f"<{self.works}>"
            self.works += 1
            self.free.add(into)
        self.calls.append(Call(ufunc, found, into))
        return into
