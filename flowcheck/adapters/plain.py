"""The plain form: two functions over dicts of arrays with an example to run them on; and names for the leaves of nested arguments."""

import contextlib
import inspect
import re
import textwrap
import warnings
from dataclasses import dataclass, field

import numpy as np

__all__ = ["PlainForm", "arguments", "flatten", "group", "one_line_errors", "promoted", "rebuild", "with_jvp"]

_CONTROL = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class PlainForm:
    """What `check_gradient` takes: `check_gradient(*form, **form.options)`.

    forward    forward(params, inputs, state0) -> outputs, dicts of arrays; its attribute `jvp`, where it has one, is its forward mode,
               jvp(params, inputs, state0, tangents) -> output tangents
    backward   backward(params, inputs, state0, grad_outputs) -> grads, keyed like the entries of all three
    options    keywords for check_gradient, such as time_axis
    source     the function or class whose source line a finding points to; None for `backward` itself
    """

    forward: callable
    backward: callable
    params: dict
    inputs: dict
    state0: dict
    options: dict = field(default_factory=dict)
    source: object = None

    def __iter__(self):
        return iter((self.forward, self.backward, self.params, self.inputs, self.state0))


def with_jvp(form, jvp):
    """The form, its forward with `jvp` as an attribute if the function has a forward mode: a hand-written backward alone gives it none."""
    try:
        jvp(form.params, form.inputs, form.state0, {n: np.zeros(a.shape) for part in (form.params, form.inputs, form.state0)
                                                    for n, a in part.items() if np.issubdtype(a.dtype, np.floating)})
    except (TypeError, RuntimeError):  # JAX's and torch's words for a function without a forward mode
        return form
    form.forward.jvp = jvp
    return form


@contextlib.contextmanager
def one_line_errors(*groups):
    """What a framework raises, as NumPy would: TypeError where complex numbers are refused or lose their imaginary part, else ValueError.

    The message is the first line that says something; the framework's error is the cause. Complex numbers are refused in as many ways
    as there are operations; real ones only by RuntimeError and TypeError, all else is the user's own and passes.
    """
    complex_given = any(np.iscomplexobj(a) for group in groups for a in group.values())
    try:
        with warnings.catch_warnings():
            if complex_given:
                warnings.filterwarnings("error", "Casting complex values to real")
            yield
    except Exception as error:
        if not (complex_given or isinstance(error, RuntimeError | TypeError)):
            raise
        said = [line.strip() for line in _CONTROL.sub("", str(error)).splitlines() if line and not line.startswith("Exception encountered")]
        line = textwrap.shorten(said[0].split(" (Triggered")[0], 200) if said else type(error).__name__
        raise (TypeError if complex_given else ValueError)(line) from error


def arguments(function, args, skip=0):
    """{parameter name: argument} of positional arguments; `skip` leading parameters (ctx) are not counted."""
    try:
        names = [p.name for p in inspect.signature(function).parameters.values()
                 if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][skip:]
    except (TypeError, ValueError):
        names = []
    names += [f"arg{i}" for i in range(len(names), len(args))]
    return dict(zip(names, args, strict=False))


def flatten(value, name, is_leaf):
    """{name: leaf} of nested tuples, lists and dicts: "hx" of a pair becomes "hx.0" and "hx.1". What is no leaf is left out."""
    if is_leaf(value):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {k: v for key, item in items for k, v in flatten(item, f"{name}.{key}", is_leaf).items()}


def rebuild(value, name, leaves, is_leaf):
    """`value` with its leaves taken from {name: leaf}; everything else as it was."""
    if is_leaf(value):
        return leaves[name]
    if isinstance(value, dict):
        return {key: rebuild(item, f"{name}.{key}", leaves, is_leaf) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [rebuild(item, f"{name}.{k}", leaves, is_leaf) for k, item in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def group(leaves_by_argument, params, state):
    """(params, inputs, state0): the leaves {name: array} of each argument in the group that the caller declared for it."""
    unknown = sorted({*params, *state} - set(leaves_by_argument))
    if unknown:
        raise ValueError(f"no argument named {', '.join(unknown)}; there are {', '.join(leaves_by_argument)}")
    groups = {}, {}, {}
    for name, leaves in leaves_by_argument.items():
        groups[0 if name in params else 2 if name in state else 1].update(leaves)
    return groups


def promoted(arrays):
    """Floats as float64, or all as complex128 where one is complex; integers as they are."""
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    kind = np.complex128 if any(np.iscomplexobj(a) for a in arrays.values()) else np.float64
    return {name: a.astype(kind) if np.issubdtype(a.dtype, np.inexact) else a for name, a in arrays.items()}
