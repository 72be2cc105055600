"""Adapters: a hand-written backward inside torch, JAX or Keras is what gets checked, per lag, beside the framework's own checker."""

import os

import numpy as np
import pytest

import flowcheck
from flowcheck.adapters.plain import flatten, group, promoted, rebuild
from flowcheck.user_code import UserCodeError, plain_form, source_of
from flowcheck.verify.arguments import Arguments, Functions
from flowcheck.verify.rounding import rounding_of

LOST = 21
"""Steps over which the planted backward carries the error: wrong from that lag on, where the flow is below every absolute floor."""


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax", reason="JAX is not installed")


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("torch", reason="torch is not installed, and Keras needs a backend")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    if keras.config.backend() not in ("torch", "jax"):
        pytest.skip(f"Keras runs on {keras.config.backend()} here; the adapter knows torch and jax")
    return keras


def net(seed=0, steps=30, n=3, radius=0.5):
    """x, W, y0 of a contracting tanh net: the flow falls faster than radius^lag, 5e-7 at lag 21."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(n, n))
    return rng.normal(size=(steps, 2, n)), radius * W / np.abs(np.linalg.eigvals(W)).max(), rng.normal(size=(2, n))


def torch_rnn(torch, carried):
    """An autograd.Function: a tanh net whose backward carries the error over `carried` steps of the sequence, counted from its end."""
    class Rnn(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, W, y0):
            ys = [y0]
            for step in x:
                ys.append(torch.tanh(ys[-1] @ W.T + step))
            ctx.save_for_backward(W, *ys)
            return torch.stack(ys[1:])

        @staticmethod
        def backward(ctx, grad_output):
            W, *ys = ctx.saved_tensors
            back, grad_x, grad_W = 0, [], torch.zeros_like(W)
            for lag, (error, before, y) in enumerate(zip(reversed(grad_output), ys[-2::-1], ys[:0:-1])):
                at_net = (error + back) * (1 - y**2)
                grad_W = grad_W + at_net.T @ before
                grad_x.insert(0, at_net)
                back = at_net @ W * (lag + 1 < carried)
            return torch.stack(grad_x), grad_W, back

        @staticmethod
        def flowcheck_example():
            return tuple(map(torch.tensor, net(steps=6))), {"params": ("W",), "state": ("y0",), "time_axis": 0}
    return Rnn


def jax_rnn(jax, carried):
    """A custom_vjp function with the same rule."""
    jnp = jax.numpy

    def run(x, W, y0):
        def step(y, x_t):
            y = jnp.tanh(y @ W.T + x_t)
            return y, y
        return jax.lax.scan(step, y0, x)[1]

    def forward(x, W, y0):
        ys = run(x, W, y0)
        return ys, (W, y0, ys)

    def backward(saved, grad_output):
        W, y0, ys = saved
        before = jnp.concatenate([y0[None], ys[:-1]])

        def step(carry, now):
            back, grad_W = carry
            error, y, y_prev, lag = now
            at_net = (error + back) * (1 - y**2)
            return (jnp.where(lag + 1 < carried, at_net @ W, 0.0), grad_W + at_net.T @ y_prev), at_net
        lags = jnp.arange(len(ys))[::-1]
        start = jnp.zeros_like(y0), jnp.zeros_like(W)
        (back, grad_W), grad_x = jax.lax.scan(step, start, (grad_output, ys, before, lags), reverse=True)
        return grad_x, grad_W, back
    rnn = jax.custom_vjp(run)
    rnn.defvjp(forward, backward)
    return rnn


def first_bad_lag(verification, entry):
    return min(f.lag for f in verification.findings if f.entry == entry and f.lag is not None)


# torch

def test_a_lost_carry_in_an_autograd_function_is_caught_where_gradcheck_passes(torch):
    rnn, arguments = torch_rnn(torch, LOST), [torch.tensor(a, requires_grad=True) for a in net()]
    last = [a.detach().requires_grad_() for a in arguments]
    assert torch.autograd.gradcheck(lambda *a: rnn.apply(*a)[-1], last)
    form = flowcheck.from_torch(rnn, *last, params=("W",), state=("y0",), time_axis=0)
    found = flowcheck.verify_gradient(*form, **form.options)
    assert found.verdict == "fail" and first_bad_lag(found, "x") == LOST
    assert f"lag {LOST}" in str(found) and len(str(found).splitlines()) <= 25


def test_a_right_autograd_function_passes(torch):
    form = flowcheck.from_torch(torch_rnn(torch, 999), *map(torch.tensor, net(steps=24)), params=("W",), state=("y0",), time_axis=0)
    found = flowcheck.check_gradient(*form, **form.options)
    assert max(found.detectable["x"]) == 23
    assert not hasattr(form.forward, "jvp")  # a hand-written backward gives no forward mode


@pytest.mark.parametrize("name, batch_first", [("LSTM", True), ("GRU", False), ("RNN", True)])
def test_recurrent_layers_of_torch_are_known(torch, name, batch_first):
    torch.manual_seed(0)
    layer = getattr(torch.nn, name)(3, 4, batch_first=batch_first)
    before = {n: p.clone() for n, p in layer.named_parameters()}
    x = torch.randn(*((2, 7) if batch_first else (7, 2)), 3)
    states = [torch.randn(1, 2, 4) for _ in range(1 + (name == "LSTM"))]
    form = flowcheck.from_torch(layer, x, tuple(states) if name == "LSTM" else states[0])
    assert [*form.params] == [*before] and [*form.inputs] == ["input"]
    assert [*form.state0] == (["hx.0", "hx.1"] if name == "LSTM" else ["hx"])
    outputs = form.forward(*[*form][2:])
    assert [*outputs] == ["output", "h_n", "c_n"][:len(outputs)] and outputs["output"].dtype == np.float64
    theirs = layer(x, tuple(states) if name == "LSTM" else states[0])[0].detach().numpy()
    assert np.abs(outputs["output"] - theirs).max() < 1e-5  # the layer itself computes in float32
    found = flowcheck.check_gradient(*form, **form.options, hard=False)
    assert sorted(found.detectable["input"]) == list(range(7))
    assert all(torch.equal(p, before[n]) and p.dtype == torch.float32 and p.grad is None for n, p in layer.named_parameters())


def test_the_backward_of_a_module_agrees_with_torch_itself(torch):
    """The gradients of the plain form against .backward() of a double-precision copy."""
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    module[3].bias.requires_grad_(False)
    x = torch.randn(5, 3)
    form = flowcheck.from_torch(module, x)
    seen = {n: t.clone() for n, t in module.named_buffers()}
    seeds = {"output": np.random.default_rng(0).normal(size=(5, 2))}
    got = form.backward(*[*form][2:], seeds)
    assert all(torch.equal(t, seen[n]) for n, t in module.named_buffers())
    assert "3.bias" not in got
    double, x2 = module.double(), x.double().requires_grad_()
    double(x2).backward(torch.tensor(seeds["output"]))
    expected = {n: p.grad for n, p in double.named_parameters() if p.requires_grad} | {"input": x2.grad}
    assert got.keys() == expected.keys()
    for name, grad in expected.items():
        np.testing.assert_allclose(got[name], grad.numpy(), rtol=1e-12, atol=1e-14)


def test_a_custom_function_inside_a_module_is_where_the_finding_points(torch):
    rnn = torch_rnn(torch, 3)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.W = torch.nn.Parameter(torch.tensor(net()[1]))

        def forward(self, x, scale):
            return {"y": rnn.apply(x, self.W, torch.zeros(2, 3)) * scale, "steps": torch.tensor(len(x))}

        def flowcheck_example(self):
            return (torch.tensor(net(steps=6)[0]), 0.5), {"time_axis": {"x": 0, "output.y": 0}}

    form = plain_form(Net())
    place = source_of(form.source)
    assert place.file == __file__ and place.name.endswith("Rnn.backward")
    found = flowcheck.verify_gradient(*form, **form.options)
    assert found.verdict == "fail" and first_bad_lag(found, "x") == 3


def test_a_module_or_function_with_an_example_can_be_named(torch):
    form = plain_form(torch_rnn(torch, 999))
    assert [*form.params] == ["W"] and [*form.state0] == ["y0"] and form.options["time_axis"] == 0
    with pytest.raises(UserCodeError, match="Linear needs example arguments.*flowcheck_example"):
        plain_form(torch.nn.Linear(2, 2))


def test_a_lost_imaginary_part_is_a_refusal_each_time(torch):
    form = flowcheck.from_torch(lambda x: x.to(torch.float64) * 2, torch.ones(3))
    for _ in range(2):
        with pytest.raises(TypeError, match="discards the imaginary part"):
            form.forward({}, {"x": np.ones(3) + 1j}, {})
    assert form.forward({}, {"x": np.ones(3)}, {})["output"].tolist() == [2, 2, 2]
    assert not torch.is_warn_always_enabled() and torch.get_default_dtype() == torch.float32


def test_forward_mode_serves_where_complex_numbers_are_refused(torch):
    def squared_relu(x):
        return torch.stack(torch.unbind(torch.relu(x.to(torch.float64)) ** 2))

    form = flowcheck.from_torch(squared_relu, torch.tensor(net(steps=5)[0]), time_axis=0)
    found = flowcheck.check_gradient(*form, **form.options)
    assert hasattr(form.forward, "jvp") and found.verdict == "pass"


def test_results_inside_torch_are_perturbed(torch):
    """The slope of a saturated unit has lost ten digits; what moves only its argument does not see that."""
    x = np.array([[12.0, 12.5], [12.2, 11.9]])
    form = flowcheck.from_torch(lambda x: torch.stack(torch.unbind(torch.tanh(x.clone().mul_(1.0)))), torch.tensor(x), time_axis=0)
    functions, arguments = Functions(form.forward, form.backward, 0), Arguments.read(form.params, form.inputs, form.state0, 0)
    rounding = rounding_of(functions, arguments, {"output": np.ones((2, 2))}, np.random.default_rng(0))
    entry = next(iter(form.inputs))
    bound = rounding.bound(lambda grads: [float(np.asarray(grads[entry])[0, 0])])
    slope = 1 / np.cosh(12.0) ** 2
    assert rounding.inside and np.finfo(float).eps / slope < bound / slope < 1e-3


def test_arguments_that_do_not_exist_are_named(torch):
    with pytest.raises(ValueError, match="no argument named w; there are x, W, y0"):
        flowcheck.from_torch(torch_rnn(torch, 9), *map(torch.tensor, net(steps=3)), params=("w",))


def test_shapes_that_do_not_fit_are_a_value_error_of_one_line(torch):
    form = flowcheck.from_torch(torch.nn.Linear(3, 2), torch.ones(4, 3))
    with pytest.raises(ValueError, match="^[^\n]*shape[^\n]*$"):
        form.forward(form.params, {"input": np.ones((4, 5))}, {})


# JAX

def test_a_lost_carry_in_a_custom_vjp_is_caught_where_check_grads_passes(jax):
    from jax.test_util import check_grads

    lost = 12  # a net that contracts faster; it is not shrunk: JAX compiles anew for every length
    rnn, arguments = jax_rnn(jax, lost), net(steps=16, radius=0.25)
    with jax.enable_x64(True):
        check_grads(lambda *a: rnn(*a)[-1], [jax.numpy.asarray(a) for a in arguments], order=1, modes=["rev"])
    form = flowcheck.from_jax(rnn, *arguments, params=("W",), state=("y0",), time_axis=0)
    found = flowcheck.verify_gradient(*form, **form.options, smallest=False)
    assert found.verdict == "fail" and first_bad_lag(found, "x") == lost
    assert source_of(form.source).file == __file__ and source_of(form.source).name.endswith("backward")
    assert not jax.config.jax_enable_x64


def test_pytrees_and_integer_outputs_of_jax(jax):
    rnn, (x, W, y0) = jax_rnn(jax, 999), net(steps=6)

    def network(weights, inputs, carry):
        return {"y": rnn(inputs, weights["W"], carry[0]), "steps": jax.numpy.arange(3)}

    form = flowcheck.from_jax(network, {"W": W}, x.astype(np.float32), (y0, 7), params=("weights",), state=("carry",),
                              time_axis={"inputs": 0, "output.y": 0})
    assert [[*part] for part in [*form][2:]] == [["weights.W"], ["inputs"], ["carry.0"]]
    assert source_of(form.source).name.endswith("backward")
    found = flowcheck.check_gradient(*form, **form.options, hard=False)
    assert sorted(found.detectable["inputs"]) == list(range(6))


def test_the_backward_of_a_jax_function_agrees_with_jax_itself(jax):
    """Against jax.grad of the scalar <error, output>, and forward mode against both."""
    x, W, y0 = net(steps=4)

    def function(x, W, y0):
        return jax.numpy.sin(x @ W.T) + y0

    form = flowcheck.from_jax(function, x, W, y0, params=("W",))
    error, direction = np.random.default_rng(0).normal(size=(2, *x.shape))
    got = form.backward(*[*form][2:], {"output": error})
    with jax.enable_x64(True):
        expected = jax.grad(lambda x, W, y0: (function(x, W, y0) * error).sum(), (0, 1, 2))(x, W, y0)
    for name, grad in zip(("x", "W", "y0"), expected, strict=True):
        np.testing.assert_allclose(got[name], grad, rtol=1e-12, atol=1e-14)
    moved = form.forward.jvp(*[*form][2:], {"x": direction})["output"]
    assert np.sum(moved * error) == pytest.approx(np.sum(got["x"] * direction), rel=1e-12)


# Keras

def test_a_recurrent_layer_of_keras_passes_at_every_lag(keras):
    layer = keras.layers.GRU(3, return_sequences=True)
    form = flowcheck.from_keras(layer, net(steps=6)[0].astype("float32").transpose(1, 0, 2))
    assert form.options["time_axis"] == {"sequences": 1, "output": 1}
    assert {n.split("/")[-1] for n in form.params} == {"kernel", "recurrent_kernel", "bias"}
    found = flowcheck.check_gradient(*form, **form.options, hard=False)
    assert sorted(found.detectable["sequences"]) == list(range(6))
    assert keras.config.floatx() == "float32" and layer.dtype_policy.name == "float32" and layer.weights[0].dtype == "float32"


def test_a_wrong_gradient_inside_a_keras_layer_is_caught(keras, torch):
    if keras.config.backend() != "torch":
        pytest.skip("the planted autograd.Function needs Keras on torch")

    class Net(keras.layers.Layer):
        def build(self, shape):
            self.W = self.add_weight(shape=(3, 3), name="W")

        def call(self, x):
            y = torch_rnn(torch, 4).apply(x.transpose(0, 1), self.W.value, torch.zeros(2, 3, dtype=x.dtype))
            return y.transpose(0, 1)

    form = flowcheck.from_keras(Net(), net(steps=7)[0].transpose(1, 0, 2), time_axis=1)
    found = flowcheck.verify_gradient(*form, **form.options)
    assert found.verdict == "fail" and first_bad_lag(found, "x") == 4


def test_keras_is_checked_in_double_precision_or_refused(keras):
    class Narrow(keras.layers.Layer):
        def call(self, x):
            return keras.ops.cast(keras.ops.cast(x, "float32") * 0.3, "float64")

    x = net(steps=3)[0].transpose(1, 0, 2)
    with pytest.raises(ValueError, match="casts 'x' to 32 bits.*set_floatx"):
        flowcheck.from_keras(Narrow(), x)
    sequential = keras.Sequential([keras.layers.Dense(2, activation="tanh"), keras.layers.Dense(1)])
    form = flowcheck.from_keras(sequential, x, time_axis=1)
    assert len(form.params) == 4
    found = flowcheck.check_gradient(*form, **form.options, hard=False)
    assert found.verdict == "pass"


# the plain form

def test_nested_arguments_are_named_and_rebuilt():
    from collections import namedtuple

    pair = namedtuple("pair", "h c")
    value = {"a": [np.zeros(1), 5], "b": pair(np.ones(2), None)}
    leaves = flatten(value, "state", lambda v: isinstance(v, np.ndarray))
    assert [*leaves] == ["state.a.0", "state.b.0"]
    again = rebuild(value, "state", {n: a + 1 for n, a in leaves.items()}, lambda v: isinstance(v, np.ndarray))
    assert again["a"][1] == 5 and isinstance(again["b"], pair) and again["b"].c is None
    assert again["a"][0].tolist() == [1] and again["b"].h.tolist() == [2, 2]


def test_groups_are_as_declared():
    leaves = {"x": {"x": 1}, "W": {"W.0": 2, "W.1": 3}, "h": {"h": 4}}
    assert group(leaves, ("W",), ("h",)) == ({"W.0": 2, "W.1": 3}, {"x": 1}, {"h": 4})
    with pytest.raises(ValueError, match="no argument named z"):
        group(leaves, ("z",), ())


def test_promotion_keeps_integers_and_goes_to_complex_together():
    given = {"a": np.ones(2, np.float32), "n": np.arange(2)}
    assert {k: v.dtype for k, v in promoted(given).items()} == {"a": np.float64, "n": given["n"].dtype}
    assert {k: v.dtype.kind for k, v in promoted(given | {"z": np.ones(1, complex)}).items()} == {"a": "c", "n": "i", "z": "c"}
