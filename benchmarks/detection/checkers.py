"""The gradient checkers that people use, each with its defaults, on the same forward and backward pass: does it reject?

All get their best case: the outputs of the last step only, so that nothing hides in a sum over output times. scipy's check_grad returns a
number and no verdict; it counts as a rejection when it is ten times what the right backward pass gives.
"""

import contextlib
import functools
import io
import warnings

import numpy as np

__all__ = ["available", "flat_case"]


def flat_case(net, arguments, plant=None):
    """(forward, backward, values): y(T) and its vector-Jacobian product as functions of a list of arrays."""
    names = [(g, k) for g in range(3) for k in arguments[g]]
    values = [np.asarray(arguments[g][k]) for g, k in names]
    steps = len(arguments[1]["x"])

    def unflat(arrays):
        groups = ({}, {}, {})
        for (g, k), a in zip(names, arrays, strict=True):
            groups[g][k] = np.asarray(a)
        return groups

    def forward(*arrays):
        return net.forward(*unflat(arrays))["y"][-1]

    def backward(arrays, g):
        grad_y = np.zeros((steps, len(g)))
        grad_y[-1] = g
        if plant is not None:
            plant.at(0)
        grads = net.backward(*unflat(arrays), {"y": grad_y}, plant)
        return [grads[k] for _, k in names]

    return forward, backward, values


def _torch(fast):
    import torch
    from torch.autograd import gradcheck

    torch.set_num_threads(1)

    def rejects(forward, backward, values, right):
        class Wrapped(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *tensors):
                ctx.save_for_backward(*tensors)
                return torch.tensor(forward(*(t.detach().numpy() for t in tensors)))

            @staticmethod
            def backward(ctx, g):
                return tuple(torch.tensor(v) for v in backward([t.detach().numpy() for t in ctx.saved_tensors], g.numpy()))

        tensors = [torch.tensor(v, requires_grad=True) for v in values]
        return not gradcheck(Wrapped.apply, tensors, raise_exception=False, fast_mode=fast)

    return rejects


def _jax():
    import jax
    import jax.numpy as jnp
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)

    def rejects(forward, backward, values, right):
        shape = jax.ShapeDtypeStruct(forward(*values).shape, np.float64)
        like = [jax.ShapeDtypeStruct(v.shape, np.float64) for v in values]

        @jax.custom_vjp
        def f(*arrays):
            return jax.pure_callback(lambda *a: forward(*map(np.asarray, a)), shape, *arrays)

        f.defvjp(lambda *arrays: (f(*arrays), arrays),
                 lambda arrays, g: tuple(jax.pure_callback(
                     lambda g, *a: backward(list(map(np.asarray, a)), np.asarray(g)), like, g, *arrays)))
        try:
            check_grads(f, [jnp.asarray(v) for v in values], order=1, modes=["rev"])
        except AssertionError:
            return True
        return False

    return rejects


def _autograd():
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    def rejects(forward, backward, values, right):
        f = primitive(lambda *arrays: forward(*arrays))
        defvjp(f, *(lambda ans, *arrays, k=k: lambda g: backward(list(arrays), g)[k] for k in range(len(values))))
        try:
            check_grads(f, modes=["rev"], order=1)(*values)
        except AssertionError:
            return True
        return False

    return rejects


def _scipy():
    from scipy.optimize import check_grad

    def rejects(forward, backward, values, right):
        shapes, ends = [v.shape for v in values], np.cumsum([v.size for v in values])[:-1]
        split = lambda flat: [p.reshape(s) for p, s in zip(np.split(flat, ends), shapes, strict=True)]  # noqa: E731
        weights = np.random.default_rng(0).normal(size=forward(*values).shape)
        value = functools.cache(lambda flat: float(weights @ forward(*split(np.frombuffer(flat)))))
        slope = lambda b: lambda flat: np.concatenate([g.ravel() for g in b(split(flat), weights)])  # noqa: E731
        start = np.concatenate([v.ravel() for v in values])
        wrong, least = (check_grad(lambda flat: value(flat.tobytes()), slope(b), start) for b in (backward, right))
        return wrong > 10 * least

    return rejects


MAKERS = {"torch gradcheck, slow": lambda: _torch(False), "torch gradcheck, fast": lambda: _torch(True), "jax check_grads": _jax,
          "autograd check_grads": _autograd, "scipy check_grad": _scipy}


def available():
    """{name: rejects(forward, backward, values, right)}, and the names of those that are not installed."""
    found, missing = {}, []
    for name, make in MAKERS.items():
        try:
            checker = make()
        except ImportError:
            missing.append(name)
            continue
        found[name] = _quiet(checker)
    return found, missing


def _quiet(checker):
    def rejects(*arguments):
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return bool(checker(*arguments))
    return rejects
