"""Keras 3: a layer or model in the plain form, on the torch or the JAX backend."""

import contextlib
import inspect
from unittest import mock

import numpy as np

from . import jax_adapter, torch_adapter
from .plain import arguments, flatten, group, rebuild

__all__ = ["from_keras"]

_BACKENDS = {"torch": torch_adapter, "jax": jax_adapter}


def from_keras(layer, *args, state=(), time_axis=None, training=False, **options):
    """The plain form of a Keras layer at example arguments (arrays, or lists of arrays).

    forward    the layer in float64, or complex128 when given complex numbers; its weights stay as they are
    backward   reverse mode of the backend, so a custom gradient inside the layer is what gets checked
    state      names of arguments of `call` that are initial states; `initial_state` of a Keras RNN is known
    time_axis  a number, or a dict by entry; 1 for a Keras RNN, whose states and last output have none

    Weights are named by their paths in the layer, arguments by `call`, outputs "output", or "output.0" and so on. An unbuilt layer is
    built by one call. Further keywords are kept as options for check_gradient. Raises ValueError on another backend than torch or JAX.
    """
    import keras

    backend = keras.config.backend()
    if backend not in _BACKENDS:
        raise ValueError(f"Keras runs on {backend}; the adapter knows torch and jax (set KERAS_BACKEND before Keras is imported)")
    given = arguments(layer.call, args)
    extra = {"training": training} if "training" in _keywords(layer) else {}
    layer(*(rebuild(a, n, {k: keras.ops.convert_to_tensor(v) for k, v in flatten(a, n, _is_array).items()}, _is_array)
            for n, a in given.items()), **extra)
    recurrent = isinstance(layer, keras.layers.RNN)
    state = [n for n in ("initial_state",) if n in given] if recurrent else state
    if recurrent and time_axis is None:
        time_axis = {[*given][0]: 1, "output" + ".0" * bool(layer.return_state): 1 if layer.return_sequences else None}
    weights = {v.path.removeprefix(f"{layer.name}/"): v for v in layer.trainable_variables}
    fixed = [(v, np.array(keras.ops.convert_to_numpy(v.value))) for v in layer.non_trainable_variables]
    leaves = {n: flatten(a, n, _is_array) for n, a in given.items()}
    groups = group({n: {k: keras.ops.convert_to_numpy(v) for k, v in found.items()} for n, found in leaves.items()}, (), state)

    def call(values):
        rebuilt = [rebuild(a, n, values, _is_array) for n, a in given.items()]
        with _double_precision(layer), keras.StatelessScope() as scope:
            for name, variable in weights.items():
                scope.add_update((variable, values[name]))
            for variable, value in fixed:
                wide = value.astype(np.float64) if np.issubdtype(value.dtype, np.floating) else value
                scope.add_update((variable, keras.ops.convert_to_tensor(wide)))
            result = _called(layer, rebuilt, extra)
        return flatten(result, "output", keras.ops.is_tensor)

    options |= {} if time_axis is None else {"time_axis": time_axis}
    params = {n: np.array(keras.ops.convert_to_numpy(v.value)) for n, v in weights.items()}
    form = _BACKENDS[backend].plain_form(call, (params, *groups[1:]), options, type(layer))
    _demand_double_precision(form)
    return form


def _called(layer, args, keywords):
    """The layer's outputs; a Sequential is called layer by layer, since as a whole it casts its inputs to 32 bits."""
    import keras

    if not isinstance(layer, keras.Sequential):
        return layer(*args, **keywords)
    [result] = args
    for inner in layer.layers:
        result = inner(result, **{k: v for k, v in keywords.items() if k in _keywords(inner)})
    return result


def _demand_double_precision(form):
    """ValueError where outputs do not follow a change of 1e-9 in an entry: something inside rounds to 32 bits, by 6e-8.

    Entries whose change would be below rounding in 64 bits are not judged.
    """
    given = [form.params, form.inputs, form.state0]
    before = form.forward(*given)
    rounding = 100 * np.finfo(float).eps * max((float(np.abs(y).max(initial=0.0)) for y in before.values()), default=0.0)

    def change(name, h):
        moved = [{n: a.astype(float) * (1 + h) + h if n == name else a for n, a in entries.items()} for entries in given]
        after = form.forward(*moved)
        return max(float(np.abs(after[k] - y).max(initial=0.0)) for k, y in before.items())

    for name in (n for entries in given for n, a in entries.items() if np.issubdtype(a.dtype, np.floating)):
        small, twice, expected = change(name, 1e-9), change(name, 2e-9), 1e-6 * change(name, 1e-3)
        if expected > rounding and not (twice > 0 and abs(twice - 2 * small) <= 0.2 * twice):
            raise ValueError(f"Keras casts {name!r} to 32 bits on its way through this layer; call keras.config.set_floatx('float64') "
                             "before the layer is made")


def _is_array(value):
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _keywords(layer):
    return inspect.signature(layer.call).parameters


@contextlib.contextmanager
def _double_precision(layer):
    """Compute in 64 bits: the policy of the layer and of those inside it, floatx for tensors that they make for themselves, and the type
    promotion of Keras, which takes every 64-bit result to 32 bits on torch and JAX whatever the policy says."""
    import keras
    from keras.src.backend.common import dtypes

    layers, floatx = [*layer._flatten_layers()], keras.config.floatx()
    policies = [inner.dtype_policy for inner in layers]
    narrowing = getattr(dtypes, "BIT64_TO_BIT32_DTYPE", {})
    try:
        keras.config.set_floatx("float64")
        for inner in layers:
            inner.dtype_policy = "float64"
        with mock.patch.dict(narrowing, {name: name for name in narrowing}):
            yield
    finally:
        keras.config.set_floatx(floatx)
        for inner, policy in zip(layers, policies, strict=True):
            inner.dtype_policy = policy
