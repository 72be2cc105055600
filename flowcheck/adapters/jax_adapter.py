"""JAX: a function, with or without custom_vjp inside, in the plain form."""

import contextlib

import numpy as np

from .plain import PlainForm, arguments, group, one_line_errors, promoted, with_jvp

__all__ = ["from_jax"]


def from_jax(function, *args, params=(), state=(), time_axis=None, jit=True, **options):
    """The plain form of a JAX function at example arguments, which may be pytrees.

    forward    the function itself in 64 bits, in complex numbers when given any
    backward   jax.vjp, so the backward of a custom_vjp is what gets checked
    params     names of arguments that are weights
    state      names of arguments that are initial states
    jit        compile both; what Python does besides (printing, drawing with numpy) then happens once, at the first call

    Entries are named by the arguments and, in pytrees, their keys: "weights.W", "carry.0". The output is "output", or "output.0" and so on.
    Further keywords are kept as options for check_gradient. Raises ValueError for names that are no arguments.
    """
    given = arguments(getattr(function, "fun", function), args)
    leaves = {n: _leaves(n, a) for n, a in given.items()}
    groups = group({n: {k: np.asarray(v) for k, v in found.items()} for n, found in leaves.items()}, params, state)

    def call(values):
        return _leaves("output", function(*(_rebuilt(n, a, values) for n, a in given.items())))

    options |= {} if time_axis is None else {"time_axis": time_axis}
    return plain_form(call, groups, options, getattr(function, "bwd", None) or _hand_written(call, groups) or function, jit)


def plain_form(call, groups, options, source, jit=True):
    """The PlainForm of call({entry: array}) -> {output: array}, with a forward mode if it can."""
    import jax

    run = jax.jit(call) if jit else call

    def pull(real, whole, errors):
        outputs, back = jax.vjp(lambda v: call({**v, **whole}), real)
        seeds = {n: _seed(y, errors.get(n)) for n, y in outputs.items()}
        return back(seeds)[0]

    def push(arrays, tangents):
        moved = jax.jvp(lambda v: call({**arrays, **v}), [{n: arrays[n] for n in tangents}], [tangents])[1]
        return {n: v for n, v in moved.items() if v.dtype != jax.dtypes.float0}

    pulled, pushed = (jax.jit(pull), jax.jit(push)) if jit else (pull, push)

    def forward(params, inputs, state0):
        with _double_precision(), one_line_errors(params, inputs, state0):
            return {n: np.array(y) for n, y in run(_arrays(params, inputs, state0)).items()}

    def jvp(params, inputs, state0, tangents):
        with _double_precision():
            found = pushed(_arrays(params, inputs, state0), promoted(tangents))
            return {n: np.array(v) for n, v in found.items()}

    def backward(params, inputs, state0, grad_outputs):
        with _double_precision(), one_line_errors():
            arrays = _arrays(params, inputs, state0)
            real = {n: a for n, a in arrays.items() if np.issubdtype(a.dtype, np.inexact)}
            whole = {n: a for n, a in arrays.items() if n not in real}
            return {n: np.array(g) for n, g in pulled(real, whole, dict(grad_outputs)).items()}

    return with_jvp(PlainForm(forward, backward, *groups, options, source), jvp)


def _arrays(params, inputs, state0):
    import jax.numpy as jnp

    return {n: jnp.asarray(a) for n, a in promoted({**params, **inputs, **state0}).items()}


def _seed(output, error):
    """The error given for an output in its own dtype; zero where none is, and JAX's own zero for integer outputs."""
    import jax
    import jax.numpy as jnp

    if not jnp.issubdtype(output.dtype, jnp.inexact):
        return np.zeros(output.shape, jax.dtypes.float0)
    return jnp.zeros_like(output) if error is None else jnp.asarray(error, output.dtype)


def _double_precision():
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()


def _leaves(name, tree):
    """{name: leaf} of the arrays of a pytree; numbers of Python are no leaves but constants."""
    import jax

    found, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_path(name, path): leaf for path, leaf in found if isinstance(leaf, jax.Array | np.ndarray)}


def _rebuilt(name, tree, values):
    import jax

    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: values[_path(name, path)] if isinstance(leaf, jax.Array | np.ndarray) else leaf, tree)


def _path(name, path):
    keys = [getattr(k, "key", getattr(k, "idx", getattr(k, "name", k))) for k in path]
    return ".".join(map(str, [name, *keys]))


def _hand_written(call, groups):
    """The backward rule of the first custom_vjp that the function uses, or None."""
    import jax

    with contextlib.suppress(AttributeError, TypeError), _double_precision():
        jaxpr = jax.make_jaxpr(call)(_arrays(*groups))
        return next(_rules(jaxpr.jaxpr), None)
    return None


def _rules(jaxpr):
    """Backward rules of the custom_vjp calls in a jaxpr and the jaxprs inside it."""
    for equation in jaxpr.eqns:
        if "bwd" in equation.params:
            yield getattr(equation.params["bwd"], "f", None)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _rules(inner)
