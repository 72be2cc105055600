"""Running one recurrent layer of a framework from given weights: what the forwards of several cells need."""

import os

import numpy as np
import pytest


def keras_run(make, weights, x, states):
    """{"y": outputs} of make(keras, units) in float64, weights in Keras' order, states (batch, units) in Keras' order."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="keras is not installed")
    if keras.backend.backend() != "torch":
        pytest.skip(f"keras runs on {keras.backend.backend()}, and double precision was tried out on torch")
    layer = make(keras, states[0].shape[-1])
    layer.build((x.shape[1], x.shape[0], x.shape[2]))
    layer.set_weights(weights)
    inputs = [keras.ops.convert_to_tensor(array, dtype="float64") for array in (x.transpose(1, 0, 2), *states)]
    out = layer(inputs[0], initial_state=inputs[1:]).detach().numpy()
    return {"y": out.transpose(1, 0, 2)}


def onnx_run(operator, x, w, r, bias, *, initial_h, initial_c=None, peepholes=None, **attributes):
    """{"y": outputs} of an ONNX operator by the reference evaluator, in float64; rows of w, r in ONNX's order."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    arrays = {"X": x, "W": w[None], "R": r[None], "B": bias[None], "seq": None, "H": initial_h[None]}
    if initial_c is not None:
        arrays["C"] = initial_c[None]
    if peepholes is not None:
        arrays["P"] = peepholes[None]
    names = [name if arrays[name] is not None else "" for name in arrays]
    node = helper.make_node(operator, names, ["Y"], hidden_size=initial_h.shape[-1], **attributes)
    fed = {name: np.asarray(array, np.float64) for name, array in arrays.items() if array is not None}
    infos = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, array.shape) for name, array in fed.items()]
    graph = helper.make_graph([node], "layer", infos, [helper.make_tensor_value_info("Y", TensorProto.DOUBLE, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    (y,) = ReferenceEvaluator(model).run(None, fed)
    return {"y": y[:, 0]}


def equinox_step(name, sizes, weights):
    """step(x_t, state) over a batch, of a cell of equinox.nn; `weights` {attribute: array}. Compiled as a whole, nothing is initialised."""
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    import jax

    cell = eqx.filter_eval_shape(lambda: getattr(eqx.nn, name)(*sizes, key=jax.random.PRNGKey(0)))
    values = [jax.numpy.asarray(array, "float32") for array in weights.values()]
    cell = eqx.tree_at(lambda m: [getattr(m, attribute) for attribute in weights], cell, values)
    return jax.jit(jax.vmap(cell))


def flax_run(name, weights, x, carry):
    """{"y": outputs} of a cell of flax.linen in float32, stepped by a plain loop; `weights` as its parameter tree."""
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")
    import jax

    units = (carry[0] if isinstance(carry, tuple) else carry).shape[-1]
    single = jax.tree_util.tree_map(lambda a: np.asarray(a, np.float32), (weights, carry))
    step, (tree, carry), outputs = jax.jit(getattr(linen, name)(features=units).apply), single, []
    for x_t in x.astype(np.float32):
        carry, y = step({"params": tree}, carry, x_t)
        outputs.append(np.asarray(y))
    return {"y": np.array(outputs, float)}
