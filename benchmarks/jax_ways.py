"""What a user would write with JAX: jitted, float64, one thread; compile time is not counted."""

from functools import partial

import numpy as np

from .nets import dense_jacobian, step

__all__ = ["ways"]


def ways(problem, kinds):
    """{name: function} of the kinds asked for, nothing where JAX is not installed."""
    try:
        import jax
    except ImportError:
        return {}
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    cell, x = problem.cell, jnp.asarray(problem.x)
    p = {k: jnp.asarray(v) for k, v in problem.layer.params.items()}
    size = problem.n * (2 if cell == "lstm" else 1)
    start, one_step = jnp.zeros(size), partial(step, jnp, cell)

    def states_before(p, x):
        return jax.lax.scan(lambda s, x_t: (one_step(p, s, x_t), s), start, x)[1]

    def rescaled(carry, product):
        """Divide by the Frobenius norm, keep its log."""
        norm = jnp.sqrt(jnp.sum(product * product))
        scale = carry[1] + jnp.log10(norm)
        return (product / norm, scale), scale

    @jax.jit
    def scan_of_jacobians(p, x):
        def back(carry, inputs):
            return rescaled(carry, carry[0] @ dense_jacobian(jnp, cell, p, *inputs))
        before = states_before(p, x)
        return jax.lax.scan(back, (jnp.eye(size), 0.0), (before[1:], x[1:]), reverse=True)[1]

    @jax.jit
    def scan_of_vjps(p, x):
        def back(carry, inputs):
            s, x_t = inputs
            pull = jax.vjp(lambda v: one_step(p, v, x_t), s)[1]
            return rescaled(carry, jax.vmap(lambda row: pull(row)[0])(carry[0]))
        before = states_before(p, x)
        return jax.lax.scan(back, (jnp.eye(size), 0.0), (before[1:], x[1:]), reverse=True)[1]

    def last_state(eps, p, x):
        """The last state, with eps(t) added to state(t-1): d/d eps is the flow at every lag at once."""
        return jax.lax.scan(lambda s, inputs: (one_step(p, s + inputs[0], inputs[1]), None), start, (eps, x))[0]

    def log_norms(flows, axes):
        """log10 norms, where squares would underflow as well."""
        largest = jnp.max(jnp.abs(flows), axis=axes, keepdims=True)
        return jnp.log10(jnp.sqrt(jnp.sum((flows / largest) ** 2, axis=axes))) + jnp.log10(largest.reshape(-1))

    @jax.jit
    def jacrev(p, x):
        flows = jax.jacrev(last_state)(jnp.zeros((len(x), size)), p, x)
        return log_norms(flows, (0, 2))

    @jax.jit
    def vjp(v, p, x):
        pull = jax.vjp(lambda eps: last_state(eps, p, x), jnp.zeros((len(x), size)))[1]
        return log_norms(pull(v)[0], (1,))

    def reversed_lags(norms):
        return np.asarray(norms)[::-1][:problem.lags]

    found = {
        "jax scan of Jacobians": lambda v: reversed_lags(scan_of_jacobians(p, x)),
        "jax scan, vmap of vjp": lambda v: reversed_lags(scan_of_vjps(p, x)),
        "jax jacrev over scan": lambda v: reversed_lags(jacrev(p, x)),
        "jax jitted vjp": lambda v: reversed_lags(vjp(v, p, x)),
    }
    return {name: found[name] for name in kinds}
