"""Are the functions themselves sound? Deterministic, free of state kept between calls, without side effects, in full precision, linear.

Each answer is a Finding or a note; a gradient is compared only where the forward pass gives the same output twice.
"""

import numpy as np

from .arguments import REFUSED
from .verification import Finding

__all__ = ["acts_on_large_errors", "arguments_changed", "clip_words", "computing_precision", "forward_is_finite", "forward_is_repeatable",
           "kept_between_calls"]

SINGLE, DOUBLE = float(np.finfo(np.float32).eps), float(np.finfo(np.float64).eps)


def forward_is_finite(arguments, y):
    """None, or the Finding that an output is not finite, and which arguments are not."""
    for name, value in y.items():
        if np.issubdtype(value.dtype, np.inexact) and not np.isfinite(value).all():
            bad = np.argwhere(~np.isfinite(value))
            given = [f"{group}[{n!r}]" for group, n, a in arguments.entries() if not np.isfinite(a).all()]
            said = f"; neither {'are' if len(given) > 1 else 'is'} {', '.join(given)}" if given else ""
            return _finding("forward", f"forward returns output {name} not finite in {len(bad)} of {value.size} numbers, the first at "
                            f"{bad[0].tolist()}{said}: no gradient is defined there")
    return None


def forward_is_repeatable(functions, arguments, y, rng):
    """None, or the Finding that forward differs between equal calls: at once (random) or after a call with other arguments (state)."""
    again = functions.outputs(arguments)
    other = arguments.with_values({n: a + 0.1 * rng.normal(size=a.shape) for n, a in arguments.values().items()})
    for name in y:
        if name not in again or not _same(y[name], again[name]):
            return _finding("forward", f"forward is not deterministic, or keeps state between calls: output {name} differs between two "
                            "equal calls")
    with np.errstate(all="ignore"):
        try:
            functions.outputs(other)
        except REFUSED:
            return None
    late = functions.outputs(arguments)
    for name in y:
        if not _same(y[name], late[name]):
            return _finding("forward", f"forward keeps state between calls: output {name} changes after a call with other arguments")
    return None


def kept_between_calls(functions, arguments, seed, first=None):
    """None, or the Finding that backward's answer depends on earlier calls: it adds up, or it is random."""
    first = functions.grads(arguments, seed.grad_outputs) if first is None else first
    second = functions.grads(arguments, seed.grad_outputs)
    for _, name, _ in arguments.entries():
        a, b = first.get(name), second.get(name)
        if a is None or b is None or _same(a, b):
            continue
        third = functions.grads(arguments, seed.grad_outputs)[name]
        if a.shape == b.shape and np.allclose(third - b, b - a, rtol=1e-6, atol=0) and np.any(b - a):
            return _finding("backward", f"backward adds to the gradients of earlier calls: dE/d{name} grows by the same amount at "
                            "every call; start from zero, or hand over the change", name)
        return _finding("backward", f"backward is not deterministic: dE/d{name} differs between two equal calls", name)
    return None


def arguments_changed(functions):
    """[Finding] of the arguments that a function changed in place."""
    return [_finding(which, f"{which} changes its argument {group}[{name!r}] in place; copy it first", name)
            for which, group, name in functions.changed]


def computing_precision(functions, arguments, y, rng):
    """(eps of the forward pass, note or ""): outputs that are, or always fit, single precision although the arguments are double."""
    real = {k: v for k, v in y.items() if np.issubdtype(v.dtype, np.floating)}
    single = [k for k, v in real.items() if v.dtype.itemsize <= 4]
    if single:
        return SINGLE, f"forward turns double precision into {real[single[0]].dtype} (output {single[0]}): only coarse mistakes can be seen"
    moved = functions.outputs(arguments.with_values({n: a * (1 + 1e-3 * rng.normal(size=a.shape)) for n, a in arguments.values().items()}))
    for k, v in moved.items():
        if k in real and v.size > 3 and len(np.unique(v)) > 3 and np.array_equal(v, v.astype(np.float32)):
            return SINGLE, f"forward rounds to single precision inside (output {k}): only coarse mistakes can be seen"
    return DOUBLE, ""


def acts_on_large_errors(functions, arguments, seed):
    """A note where backward is linear for errors of the size of the check, but not for much larger ones; else ""."""
    large = 2.0**20
    right = functions.grads(arguments, seed.grad_outputs)
    with np.errstate(all="ignore"):
        try:
            found = functions.grads(arguments, {k: v * large for k, v in seed.grad_outputs.items()})
        except REFUSED:
            return ""
    for _, name, _ in arguments.entries():
        a, b = (np.asarray(g[name], float) for g in (right, found))
        if np.isfinite(b).all() and np.abs(b / large - a).max() > 1e-3 * np.abs(a).max():
            return (f"backward is not linear in the errors: dE/d{name} of errors 2^20 times as large is not 2^20 times as large; a clip or "
                    "a threshold acts there")
    return ""


def clip_words(functions, arguments, one):
    """Words if the failed gradient is right for small errors and cut off for large ones, else ""."""
    small = 2.0**-40
    seed = one.seed.grad_outputs
    scaled = functions.grads(arguments, {k: v * small for k, v in seed.items()}).get(one.entry)
    if scaled is None or one.grad is None or np.shape(scaled) != one.grad.shape or not np.isfinite(one.grad).all():
        return ""
    linear = np.asarray(scaled, float) / small
    size = np.abs(linear).max(initial=0.0)
    if not size or np.abs(linear - one.grad).max() <= 1e-6 * size:
        return ""
    largest = float(np.abs(one.grad).max())
    if np.allclose(one.grad, np.clip(linear, -largest, largest), rtol=1e-6, atol=0):
        return f"; it is clipped to [-{largest:.4g}, {largest:.4g}]"
    norm, free = np.linalg.norm(one.grad), np.linalg.norm(linear)
    if norm < free and np.allclose(one.grad / norm, linear / free, rtol=1e-6, atol=1e-9):
        return f"; its norm is clipped to {norm:.4g}"
    return "; it is not linear in the errors: a clip or a threshold is inside"


def _same(a, b):
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.inexact))


def _finding(where, words, entry=""):
    return Finding(entry, None, where, None, None, words)
