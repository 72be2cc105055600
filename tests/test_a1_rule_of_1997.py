"""Appendix A.1 by its own equations, online, with stored ds/dw: what `truncated_1997` must compute.

Reading A of the time indices: inputs act at the step at which they are shown, outputs see the cells of the same step.
Equation (19) has no factor 2 where (16) with (18) has one, so (19) to (28) are the gradient of E/2; a weight's update
is the sum over the steps.
"""

import numpy as np
import pytest

from flowcheck import bptt, catalogue, compile_cell, truncated_1997

INPUTS, OUTPUTS, STEPS = 3, 2, 12
STEP = 2.0**-300
SHAPES = [(3, 1), (2, 2), (3, 2)]


def f(z):
    return 1 / (1 + np.exp(-z))


def f_prime(z):
    return f(z) * (1 - f(z))


def g(z):
    return 4 / (1 + np.exp(-z)) - 2


def h(z):
    return 2 / (1 + np.exp(-z)) - 1


def g_prime(z):
    return 4 * f_prime(z)


def h_prime(z):
    return 2 * f_prime(z)


class Net1997:
    """Blocks of S cells, K logistic outputs. Rows of W_in and W_out are blocks, of W_c cells; W_k reads cells and 1."""

    def __init__(self, blocks, size, rng):
        self.blocks, self.size, self.cells = blocks, size, blocks * size
        sources = INPUTS + self.cells + 2 * blocks + 1
        self.W_in = rng.normal(size=(blocks, sources)) * 0.7
        self.W_out = rng.normal(size=(blocks, sources)) * 0.7
        self.W_c = rng.normal(size=(self.cells, sources)) * 0.7
        self.W_k = rng.normal(size=(OUTPUTS, self.cells + 1))
        self.x = rng.normal(size=(STEPS, INPUTS))
        self.target = rng.uniform(size=(STEPS, OUTPUTS))

    def of_block(self, c):
        return c // self.size

    def sources(self):
        """y^m of every step, from one free run: inputs at t, cells and gates at t-1, and 1 for the bias."""
        y, y_in, y_out = np.zeros(self.cells), np.zeros(self.blocks), np.zeros(self.blocks)
        s, found = np.zeros(self.cells), []
        for t in range(STEPS):
            found.append(np.concatenate([self.x[t], y, y_in, y_out, [1.0]]))
            s, y, y_in, y_out = self.step(s, found[t], self.W_in, self.W_out, self.W_c)
        return found

    def step(self, s, ys, W_in, W_out, W_c):
        """(7), (8), (9)."""
        y_in, y_out = f(W_in @ ys), f(W_out @ ys)
        s = np.array([s[c] + y_in[self.of_block(c)] * g(W_c[c] @ ys) for c in range(self.cells)])
        y = np.array([y_out[self.of_block(c)] * h(s[c]) for c in range(self.cells)])
        return s, y, y_in, y_out

    def truncated_error(self, W_in, W_out, W_c, W_k, delay=0):
        """E of (16), sources held fixed: its derivative is the truncated one. delay 1: outputs see the cells at t-1."""
        s, y, error = np.zeros(self.cells), [np.zeros(self.cells)] * delay, 0.0
        for t, ys in enumerate(self.sources()):
            s, y_t, _, _ = self.step(s, ys, W_in, W_out, W_c)
            y = [*y, y_t]
            outputs = f(W_k @ np.concatenate([y[t], [1.0]]))
            error = error + ((self.target[t] - outputs) ** 2).sum()
        return error

    def as_flowcheck(self):
        """(params, x) for the package's lstm1997."""
        ends = np.cumsum([INPUTS, self.cells, self.blocks, self.blocks])
        params = {}
        for role, W in (("in", self.W_in), ("out", self.W_out), ("c", self.W_c)):
            parts = np.split(W, ends, axis=1)
            params |= {
                f"W_{role}_{source}": part for source, part in zip(("x", "y", "y_in", "y_out"), parts, strict=False)
            }
            params[f"b_{role}"] = parts[-1][:, 0]
        return params, self.x[:, None]


def rule_of_1997(net, mixing=None):
    """{in, c, out, k}: sum over t of Delta w(t) / alpha, by (19) to (28), keeping only s, y and ds/dw of (25), (27).

    mixing "strict": the time indices as printed although the outputs see the cells at t-1 (A.1's forward pass);
    mixing "shifted": the same forward pass with the hidden quantities of (21), (23), (26), (28) taken at t-1.
    """
    n, sources = net.cells, net.W_c.shape[1]
    s, y = np.zeros(n), np.zeros(n)
    ds_in, ds_c = np.zeros((n, sources)), np.zeros((n, sources))  # ds_c/dw_in,m and ds_c/dw_c,m
    total = {"in": np.zeros_like(net.W_in), "c": np.zeros_like(net.W_c), "out": np.zeros_like(net.W_out),
             "k": np.zeros_like(net.W_k)}
    before = None
    for t, ys in enumerate(net.sources()):
        net_in, net_out, net_c = net.W_in @ ys, net.W_out @ ys, net.W_c @ ys
        y_seen = y
        s, y, _, y_out = net.step(s, ys, net.W_in, net.W_out, net.W_c)
        for c in range(n):
            j = net.of_block(c)
            ds_in[c] += g(net_c[c]) * f_prime(net_in[j]) * ys  # (25)
            ds_c[c] += g_prime(net_c[c]) * f(net_in[j]) * ys  # (27)
        now = {"s": s, "y_out": y_out, "net_out": net_out, "ys": ys, "ds_in": ds_in.copy(), "ds_c": ds_c.copy()}
        seen = np.concatenate([y_seen if mixing else y, [1.0]])
        net_k = net.W_k @ seen
        e_k = f_prime(net_k) * (net.target[t] - f(net_k))  # (19)
        total["k"] += np.outer(e_k, seen)  # (22) for l = k
        used, before = (before if mixing == "shifted" else now), now
        if used is None:
            continue
        back = net.W_k[:, :n].T @ e_k
        for c in range(n):
            j = net.of_block(c)
            e_s = used["y_out"][j] * h_prime(used["s"][c]) * back[c]  # (23)
            total["in"][j] += e_s * used["ds_in"][c]  # (26)
            total["c"][c] += e_s * used["ds_c"][c]  # (28)
            e_out = f_prime(used["net_out"][j]) * h(used["s"][c]) * back[c]  # (21), one cell of the block at a time
            total["out"][j] += e_out * used["ys"]  # (22) for l = out_j
    return total


def readout_errors(net, y, delay=0):
    """-d(E/2)/dy(t) by the read-out alone, and its own weights' update, with y (time, cells) from the package."""
    errors, weights = np.zeros_like(y), np.zeros_like(net.W_k)
    for t in range(STEPS):
        seen = np.concatenate([y[t - delay] if t >= delay else np.zeros(net.cells), [1.0]])
        net_k = net.W_k @ seen
        e_k = f_prime(net_k) * (net.target[t] - f(net_k))
        weights += np.outer(e_k, seen)
        if t >= delay:
            errors[t - delay] += net.W_k[:, :net.cells].T @ e_k
    return errors, weights


def package_updates(net, delay=0, rule=truncated_1997):
    params, x = net.as_flowcheck()
    trajectory = compile_cell(catalogue()["lstm1997"]).forward(params, x)
    errors, weights = readout_errors(net, trajectory["y"][:, 0], delay)
    gradient = rule(trajectory, errors[:, None]).params
    roles = {role: np.concatenate([*(gradient[f"W_{role}_{s}"] for s in ("x", "y", "y_in", "y_out")),
                                   gradient[f"b_{role}"][:, None]], axis=1) for role in ("in", "c", "out")}
    return roles | {"k": weights}


def largest_difference(a, b):
    return {role: np.abs(a[role] - b[role]).max() / np.abs(b[role]).max() for role in b}


def by_complex_step(net, role, delay=0):
    """-dE/dw of the truncated E of (16), entry by entry."""
    weights = {"in": net.W_in, "out": net.W_out, "c": net.W_c, "k": net.W_k}
    found = np.zeros_like(weights[role])
    for place in np.ndindex(found.shape):
        moved = {k: v.astype(complex) for k, v in weights.items()}
        moved[role][place] += 1j * STEP
        found[place] = -net.truncated_error(*(moved[k] for k in ("in", "out", "c", "k")), delay=delay).imag / STEP
    return found


@pytest.mark.parametrize("role", ["in", "c", "out", "k"])
@pytest.mark.parametrize(("blocks", "size"), SHAPES)
def test_truncated_1997_is_the_rule_of_appendix_a1(blocks, size, role, rng):
    net = Net1997(blocks, size, rng)
    expected, got = rule_of_1997(net)[role], package_updates(net)[role]
    # twelve steps of sums of at most 20 terms, in another order
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("role", ["in", "c", "out", "k"])
def test_with_16_and_18_the_rule_misses_a_factor_two(role, rng):
    net = Net1997(2, 2, rng)
    rule, gradient = rule_of_1997(net)[role], by_complex_step(net, role)
    np.testing.assert_allclose(2 * rule, gradient, rtol=0, atol=1e-12 * np.abs(gradient).max())


def test_the_rule_is_not_the_full_gradient(rng):
    net = Net1997(2, 2, rng)
    difference = largest_difference(rule_of_1997(net), package_updates(net, rule=bptt))
    assert min(difference[role] for role in ("in", "c", "out")) > 1e-2
    assert difference["k"] < 1e-12


def test_the_rule_is_the_full_gradient_where_nothing_recurs(rng):
    net = Net1997(2, 2, rng)
    for W in (net.W_in, net.W_out, net.W_c):
        W[:, INPUTS:-1] = 0.0
    params, x = net.as_flowcheck()
    trajectory = compile_cell(catalogue()["lstm1997"]).forward(params, x)
    errors = readout_errors(net, trajectory["y"][:, 0])[0][:, None]
    full, truncated = bptt(trajectory, errors).params, truncated_1997(trajectory, errors).params
    for name, gradient in full.items():
        np.testing.assert_allclose(truncated[name], gradient, rtol=0, atol=1e-12 * np.abs(gradient).max())


def test_outputs_one_step_later_need_every_hidden_quantity_one_step_earlier(rng):
    net = Net1997(2, 2, rng)
    shifted = rule_of_1997(net, mixing="shifted")
    assert max(largest_difference(package_updates(net, delay=1), shifted).values()) < 1e-12
    for role in ("in", "c", "out", "k"):
        gradient = by_complex_step(net, role, delay=1)
        np.testing.assert_allclose(2 * shifted[role], gradient, rtol=0, atol=1e-12 * np.abs(gradient).max())


def test_the_time_indices_as_printed_mix_two_readings(rng):
    net = Net1997(2, 2, rng)
    off = largest_difference(rule_of_1997(net, mixing="strict"), rule_of_1997(net, mixing="shifted"))
    assert min(off[role] for role in ("in", "c", "out")) > 1e-2
    assert off["k"] == 0.0
