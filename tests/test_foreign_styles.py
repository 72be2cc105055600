"""Ten hand-written backward passes in ten styles: each passes when right, and its realistic bug is found."""

import numpy as np
import pytest

from flowcheck import verify_gradient
from flowcheck.user_code import source_of
from flowcheck.verify.styles import from_class, from_loss_and_gradient, from_step

M, N, T, B = 3, 4, 7, 2


def sigma(z):
    return 1 / (1 + np.exp(-z))


def weights(rng, *shapes):
    return [rng.normal(size=s) * 0.5 for s in shapes]


def per_step_dicts(bug):
    """xs[t], hs[t]: dicts keyed by the step. Bug: the carry is forgotten."""
    rng = np.random.default_rng(0)
    U, V, b = weights(rng, (N, M), (N, N), (N,))

    def run(p, xs, h0):
        hs = {-1: h0}
        for t in range(len(xs)):
            hs[t] = np.tanh(p["U"] @ xs[t] + p["V"] @ hs[t - 1] + p["b"])
        return hs

    def forward(p, i, s):
        hs = run(p, i["xs"], s["h0"])
        return {"hs": {t: hs[t] for t in range(len(i["xs"]))}}

    def backward(p, i, s, g):
        xs, hs = i["xs"], run(p, i["xs"], s["h0"])
        d, dxs, dnext = {k: np.zeros_like(v) for k, v in p.items()}, {}, np.zeros(N)
        for t in reversed(range(len(xs))):
            da = (g["hs"][t] + (0 if bug else dnext)) * (1 - hs[t] ** 2)
            d["U"] += np.outer(da, xs[t])
            d["V"] += np.outer(da, hs[t - 1])
            d["b"] += da
            dxs[t] = p["U"].T @ da
            dnext = p["V"].T @ da
        return d | {"xs": dxs, "h0": dnext}

    xs = {t: rng.normal(size=M) for t in range(T)}
    return forward, backward, ({"U": U, "V": V, "b": b}, {"xs": xs}, {"h0": rng.normal(size=N)}), {}, "xs", "tanh"


def column_vectors(bug):
    """Lists of (features, 1) columns, biases too. Bug: 1 - h instead of 1 - h^2."""
    rng = np.random.default_rng(1)
    Wx, Wh, b = weights(rng, (N, M), (N, N), (N, 1))

    def forward(p, i, s):
        h, hs = s["h0"], []
        for x in i["x"]:
            h = np.tanh(p["Wx"] @ x + p["Wh"] @ h + p["b"])
            hs.append(h)
        return {"h": hs}

    def backward(p, i, s, g):
        hs = forward(p, i, s)["h"]
        grads, dx, back = {k: np.zeros_like(v) for k, v in p.items()}, [None] * len(hs), 0
        for t in range(len(hs) - 1, -1, -1):
            da = (g["h"][t] + back) * (1 - hs[t] if bug else 1 - hs[t] ** 2)
            grads["Wx"] += da @ i["x"][t].T
            grads["Wh"] += da @ (hs[t - 1] if t else s["h0"]).T
            grads["b"] += da
            dx[t], back = p["Wx"].T @ da, p["Wh"].T @ da
        return grads | {"x": dx, "h0": back}

    inputs = {"x": [rng.normal(size=(M, 1)) for _ in range(T)]}
    return forward, backward, ({"Wx": Wx, "Wh": Wh, "b": b}, inputs, {"h0": rng.normal(size=(N, 1))}), {}, "x", "tanh"


def fused_gates(order):
    """One matrix over [h, x] for four gates, batch first. Bug: two gates exchanged in the backward pass only."""
    place = {g: order.index(g) for g in "ifgo"}

    def made(bug):
        rng = np.random.default_rng(2)
        W, b = weights(rng, (4 * N, N + M), (4 * N,))
        cut = lambda z, g: z[:, place[g] * N:(place[g] + 1) * N]  # noqa: E731

        def run(p, x, s):
            h, c, tape = s["h0"], s["c0"], []
            for t in range(x.shape[1]):
                hx = np.concatenate([h, x[:, t]], axis=1)
                z = hx @ p["W"].T + p["b"]
                i, f, o, g = sigma(cut(z, "i")), sigma(cut(z, "f")), sigma(cut(z, "o")), np.tanh(cut(z, "g"))
                before, c = c, f * c + i * g
                h = o * np.tanh(c)
                tape.append((hx, i, f, o, g, before, c, h))
            return tape

        def forward(p, i, s):
            return {"h": np.stack([step[-1] for step in run(p, i["x"], s)], axis=1)}

        def backward(p, inputs, s, grad):
            tape, x = run(p, inputs["x"], s), inputs["x"]
            dW, db, dx = np.zeros_like(p["W"]), np.zeros_like(p["b"]), np.zeros_like(x)
            dh, dc = np.zeros_like(s["h0"]), np.zeros_like(s["c0"])
            for t in range(len(tape) - 1, -1, -1):
                hx, i, f, o, g, before, c, h = tape[t]
                dh = dh + grad["h"][:, t]
                dc = dc + dh * o * (1 - np.tanh(c) ** 2)
                parts = {"i": dc * g * i * (1 - i), "f": dc * before * f * (1 - f), "o": dh * np.tanh(c) * o * (1 - o),
                         "g": dc * i * (1 - g**2)}
                if bug:
                    parts["i"], parts["f"] = parts["f"], parts["i"]
                dz = np.concatenate([parts[name] for name in order], axis=1)
                dW += dz.T @ hx
                db += dz.sum(axis=0)
                back = dz @ p["W"]
                dh, dx[:, t], dc = back[:, :N], back[:, N:], dc * f
            return {"W": dW, "b": db, "x": dx, "h0": dh, "c0": dc}

        state0 = {"h0": rng.normal(size=(B, N)), "c0": rng.normal(size=(B, N))}
        return forward, backward, ({"W": W, "b": b}, {"x": rng.normal(size=(B, T, M))}, state0), {"time_axis": 1}, "x", "lstm"

    made.__name__ = f"fused_gates_{order}"
    return made


def integer_inputs(bug):
    """Tokens look up rows of an embedding. Bug: rows of tokens that come twice are assigned, not added."""
    rng = np.random.default_rng(3)
    E, V = weights(rng, (5, N), (N, N))

    def forward(p, i, s):
        h, hs = s["h0"], []
        for k in i["tokens"]:
            h = np.tanh(p["E"][k] + p["V"] @ h)
            hs.append(h)
        return {"h": np.stack(hs)}

    def backward(p, i, s, g):
        hs = forward(p, i, s)["h"]
        dE, dV, back = np.zeros_like(p["E"]), np.zeros_like(p["V"]), 0
        for t in reversed(range(len(hs))):
            da = (g["h"][t] + back) * (1 - hs[t] ** 2)
            dE[i["tokens"][t]] = da + (0 if bug else dE[i["tokens"][t]])
            dV += np.outer(da, hs[t - 1] if t else s["h0"])
            back = p["V"].T @ da
        return {"E": dE, "V": dV, "h0": back}

    tokens = np.array([1, 4, 1, 0, 2, 4, 3])
    return forward, backward, ({"E": E, "V": V}, {"tokens": tokens}, {"h0": rng.normal(size=N)}), {"time_axis": 0}, "E", None


def class_that_applies_sgd(bug):
    """backward takes a step of gradient descent: the weights' change is the gradient. Bug: the mean over time is applied."""
    rng = np.random.default_rng(4)
    W, U = weights(rng, (N, M), (N, N))

    class Net:
        def __init__(self, params):
            self.W, self.U = params["W"], params["U"]

        def forward(self, inputs, state0):
            self.x, self.h = inputs["x"], [state0["h0"]]
            for x_t in self.x:
                self.h.append(np.tanh(self.W @ x_t + self.U @ self.h[-1]))
            return {"y": np.stack(self.h[1:])}

        def backward(self, grad):
            dW, dU, back, dx = 0, 0, 0, np.zeros_like(self.x)
            for t in reversed(range(len(self.x))):
                da = (grad[t] + back) * (1 - self.h[t + 1] ** 2)
                dW, dU = dW + np.outer(da, self.x[t]), dU + np.outer(da, self.h[t])
                dx[t], back = self.W.T @ da, self.U.T @ da
            self.W = self.W - 0.125 * dW / (len(self.x) if bug else 1)
            self.U = self.U - 0.125 * dU
            return {"x": dx, "h0": back}

    forward, backward = from_class(Net, {}, rate=0.125)
    arguments = {"W": W, "U": U}, {"x": rng.normal(size=(T, M))}, {"h0": rng.normal(size=N)}
    return forward, backward, arguments, {"time_axis": 0}, "W", None


def clipping_inside(bug):
    """The carried error is clipped to [-5, 5], as declared. Bug: the clip is at 0.02 of what comes, a sign."""
    from flowcheck import clipped

    rng = np.random.default_rng(5)
    W, U = weights(rng, (N, M), (N, N))

    def forward(p, i, s):
        h, hs = s["h0"], []
        for x_t in i["x"]:
            h = np.tanh(p["W"] @ x_t + p["U"] @ h)
            hs.append(h)
        return {"h": np.stack(hs)}

    def backward(p, i, s, g):
        hs = forward(p, i, s)["h"]
        dW, dU, dx, back = 0, 0, np.zeros_like(i["x"]), 0
        for t in reversed(range(len(hs))):
            da = (g["h"][t] + back) * (1 - hs[t] ** 2)
            dW, dU = dW + np.outer(da, i["x"][t]), dU + np.outer(da, hs[t - 1] if t else s["h0"])
            dx[t], back = p["W"].T @ da, np.clip(p["U"].T @ da, -5, 5)
            back = np.sign(back) * 0.02 if bug else back
        return {"W": dW, "U": dU, "x": dx, "h0": back}

    arguments = {"W": W, "U": U}, {"x": rng.normal(size=(T, M))}, {"h0": rng.normal(size=N)}
    return forward, backward, arguments, {"time_axis": 0, "intent": clipped(value=5.0, inside=True)}, "x", None


def masks_for_unequal_lengths(bug):
    """Time first, a 0/1 mask keeps the state of sequences that are over. Bug: the carry ignores the mask."""
    rng = np.random.default_rng(6)
    W, U = weights(rng, (M, N), (N, N))
    mask = (np.arange(T)[:, None] < np.array([T, T - 3])).astype(int)[:, :, None]

    def run(p, i, s):
        h, hs, raw = s["h0"], [s["h0"]], []
        for x_t, m in zip(i["x"], i["mask"]):
            raw.append(np.tanh(x_t @ p["W"] + h @ p["U"]))
            h = m * raw[-1] + (1 - m) * h
            hs.append(h)
        return hs, raw

    def forward(p, i, s):
        return {"h": np.stack(run(p, i, s)[0][1:])}

    def backward(p, i, s, g):
        hs, raw = run(p, i, s)
        dW, dU, dx, back = 0, 0, np.zeros_like(i["x"]), 0
        for t in reversed(range(len(raw))):
            m = i["mask"][t]
            dh = g["h"][t] + back
            da = m * dh * (1 - raw[t] ** 2)
            dW, dU = dW + i["x"][t].T @ da, dU + hs[t].T @ da
            dx[t] = da @ p["W"].T
            back = da @ p["U"].T + (0 if bug else (1 - m) * dh)
        return {"W": dW, "U": dU, "x": dx, "h0": back}

    arguments = {"W": W, "U": U}, {"x": rng.normal(size=(T, B, M)), "mask": mask}, {"h0": rng.normal(size=(B, N))}
    return forward, backward, arguments, {"time_axis": 0, "hard": False}, "x", None


def bidirectional(bug):
    """Two nets in opposite directions, outputs joined. Bug: the backward direction takes its state from the wrong end."""
    rng = np.random.default_rng(7)
    names = ("Wf", "Uf", "Wb", "Ub")
    params = dict(zip(names, weights(rng, (N, M), (N, N), (N, M), (N, N))))

    def run(W, U, x, h):
        hs = [h]
        for x_t in x:
            hs.append(np.tanh(W @ x_t + U @ hs[-1]))
        return hs

    def pull(W, U, x, hs, g, late):
        dW, dU, dx, back = 0, 0, np.zeros_like(x), 0
        for t in reversed(range(len(x))):
            da = (g[t] + back) * (1 - hs[t + 1] ** 2)
            dW, dU = dW + np.outer(da, x[t]), dU + np.outer(da, hs[t + late])
            dx[t], back = W.T @ da, U.T @ da
        return dW, dU, dx, back

    def forward(p, i, s):
        f, b = run(p["Wf"], p["Uf"], i["x"], s["hf"])[1:], run(p["Wb"], p["Ub"], i["x"][::-1], s["hb"])[1:]
        return {"h": np.concatenate([np.stack(f), np.stack(b[::-1])], axis=1)}

    def backward(p, i, s, g):
        x, gf, gb = i["x"], g["h"][:, :N], g["h"][:, N:]
        dWf, dUf, dxf, dhf = pull(p["Wf"], p["Uf"], x, run(p["Wf"], p["Uf"], x, s["hf"]), gf, 0)
        dWb, dUb, dxb, dhb = pull(p["Wb"], p["Ub"], x[::-1], run(p["Wb"], p["Ub"], x[::-1], s["hb"]), gb[::-1], int(bug))
        return {"Wf": dWf, "Uf": dUf, "Wb": dWb, "Ub": dUb, "x": dxf + dxb[::-1], "hf": dhf, "hb": dhb}

    state0 = {"hf": rng.normal(size=N), "hb": rng.normal(size=N)}
    return forward, backward, (params, {"x": rng.normal(size=(T, M))}, state0), {"time_axis": 0}, "Ub", None


def stacked(bug):
    """Two layers, features first: x is (features, batch, time). Bug: the upper layer's error does not reach the lower one."""
    rng = np.random.default_rng(8)
    params = dict(zip(("W1", "U1", "W2", "U2"), weights(rng, (N, M), (N, N), (N, N), (N, N))))

    def layer(W, U, x, h):
        hs = [h]
        for t in range(x.shape[2]):
            hs.append(np.tanh(W @ x[:, :, t] + U @ hs[-1]))
        return hs

    def pull(W, U, x, hs, g):
        dW, dU, dx, back = 0, 0, np.zeros_like(x), 0
        for t in reversed(range(x.shape[2])):
            da = (g[:, :, t] + back) * (1 - hs[t + 1] ** 2)
            dW, dU = dW + da @ x[:, :, t].T, dU + da @ hs[t].T
            dx[:, :, t], back = W.T @ da, U.T @ da
        return dW, dU, dx, back

    def run(p, i, s):
        low = layer(p["W1"], p["U1"], i["x"], s["h1"])
        middle = np.stack(low[1:], axis=2)
        return low, middle, layer(p["W2"], p["U2"], middle, s["h2"])

    def forward(p, i, s):
        return {"top": np.stack(run(p, i, s)[2][1:], axis=2)}

    def backward(p, i, s, g):
        low, middle, top = run(p, i, s)
        dW2, dU2, down, dh2 = pull(p["W2"], p["U2"], middle, top, g["top"])
        dW1, dU1, dx, dh1 = pull(p["W1"], p["U1"], i["x"], low, 0 * down if bug else down)
        return {"W1": dW1, "U1": dU1, "W2": dW2, "U2": dU2, "x": dx, "h1": dh1, "h2": dh2}

    state0 = {"h1": rng.normal(size=(N, B)), "h2": rng.normal(size=(N, B))}
    return forward, backward, (params, {"x": rng.normal(size=(M, B, T))}, state0), {"time_axis": 2}, "x", None


STYLES = [per_step_dicts, column_vectors, fused_gates("ifgo"), fused_gates("fiog"), fused_gates("gofi"), integer_inputs,
          class_that_applies_sgd, clipping_inside, masks_for_unequal_lengths, bidirectional, stacked]


@pytest.mark.parametrize("style", STYLES, ids=lambda s: s.__name__)
def test_a_right_backward_pass_passes_in_any_style(style):
    forward, backward, arguments, options, _, cell = style(False)
    verification = verify_gradient(forward, backward, *arguments, cell=cell, **options)
    assert verification.verdict == "pass", str(verification)
    assert verification.cell == (cell or "")


@pytest.mark.parametrize("style", STYLES, ids=lambda s: s.__name__)
def test_its_bug_is_found(style):
    forward, backward, arguments, options, entry, _ = style(True)
    verification = verify_gradient(forward, backward, *arguments, **options)
    assert verification.verdict == "fail"
    assert entry in {f.entry for f in verification.findings}, str(verification)


@pytest.mark.parametrize(("style", "term"), [
    (per_step_dicts, ("carry of y", "net <- y_prev")), (column_vectors, ("d y / d net",)),
    (fused_gates("fiog"), ("d/d net_in, d/d net_f",)),
], ids=["per_step_dicts", "column_vectors", "fused_gates_fiog"])
def test_with_the_cell_known_the_wrong_term_is_named(style, term):
    forward, backward, arguments, options, _, cell = style(True)
    verification = verify_gradient(forward, backward, *arguments, cell=cell, **options)
    assert verification.findings[0].term in term, str(verification)


def tanh_step(p, x, s):
    h = np.tanh(p["W"] @ x["x"] + p["U"] @ s["h"])
    return {"y": h}, {"h": h}


def tanh_step_backward(p, x, s, grad, grad_state, bug=False):
    h = tanh_step(p, x, s)[1]["h"]
    da = (grad["y"] + grad_state["h"]) * (1 - h**2)
    return {"W": np.outer(da, x["x"]), "U": np.outer(da, s["h"]), "x": p["W"].T @ da, "h": (p["U"] if bug else p["U"].T) @ da}


@pytest.mark.parametrize("bug", [False, True], ids=["right", "transposed"])
def test_single_step_functions(bug):
    rng = np.random.default_rng(9)
    W, U = weights(rng, (N, M), (N, N))
    forward, backward = from_step(tanh_step, lambda *a: tanh_step_backward(*a, bug=bug), ["h"])
    x, h = rng.normal(size=(T, M)), rng.normal(size=N)
    verification = verify_gradient(forward, backward, {"W": W, "U": U}, {"x": x}, {"h": h}, time_axis=0)
    assert verification.verdict == ("fail" if bug else "pass"), str(verification)
    assert not bug or verification.findings[0].lag == 1


@pytest.mark.parametrize("bug", [False, True], ids=["right", "factor-two"])
def test_a_fused_loss_and_gradient(bug):
    rng = np.random.default_rng(10)
    W, U = weights(rng, (N, M), (N, N))
    forward_y, backward_y = from_step(tanh_step, tanh_step_backward, ["h"])

    def loss_and_gradient(p, i, s):
        y = forward_y(p, {"x": i["x"]}, s)["y"]
        return 0.5 * np.sum((y - i["target"]) ** 2), backward_y(p, {"x": i["x"]}, s, {"y": (1 + bug) * (y - i["target"])}) | {
            "target": i["target"] - y}

    forward, backward = from_loss_and_gradient(loss_and_gradient)
    inputs = {"x": rng.normal(size=(T, M)), "target": rng.normal(size=(T, N))}
    verification = verify_gradient(forward, backward, {"W": W, "U": U}, inputs, {"h": rng.normal(size=N)}, time_axis={"x": 0, "target": 0})
    assert verification.verdict == ("fail" if bug else "pass"), str(verification)
    assert not bug or "2 times the right value" in str(verification)


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "not-declared"])
def test_gradients_that_add_up_in_attributes(declared):
    class Net:
        total = np.zeros((N, M))  # shared by all objects, as in a module that is never reset

        def __init__(self, params):
            self.W = params["W"]

        def forward(self, inputs, state0):
            self.x = inputs["x"]
            return np.tanh(self.x @ self.W.T)

        def backward(self, grad):
            da = grad * (1 - np.tanh(self.x @ self.W.T) ** 2)
            Net.total = Net.total + da.T @ self.x
            return {"x": da @ self.W}

    rng = np.random.default_rng(11)
    forward, backward = from_class(Net, {"W": "total"}, accumulated=declared)
    verification = verify_gradient(forward, backward, {"W": weights(rng, (N, M))[0]}, {"x": rng.normal(size=(T, M))}, {}, time_axis=0)
    assert verification.verdict == ("pass" if declared else "fail"), str(verification)
    assert declared or any("adds to the gradients of earlier calls" in f.words for f in verification.findings)


def masked(lost):
    """A batch-first tanh layer that keeps its state where the mask is off; `lost`: the state's error is dropped there."""
    def forward(p, i, s):
        h, hs = s["h"], []
        for t in range(T):
            h = np.where(i["mask"][:, t, None], np.tanh(i["x"][:, t] @ p["W"].T + h @ p["U"].T), h)
            hs.append(h)
        return {"y": np.stack(hs, axis=1)}

    def backward(p, i, s, g):
        y = forward(p, i, s)["y"]
        before = np.concatenate([s["h"][:, None], y[:, :-1]], axis=1)
        grads, dh = {k: np.zeros(v.shape) for k, v in (p | {"x": i["x"]}).items()}, np.zeros(s["h"].shape)
        for t in reversed(range(T)):
            on = i["mask"][:, t, None]
            dh = dh + g["y"][:, t]
            da = on * dh * (1 - y[:, t] ** 2)
            grads["W"], grads["U"] = grads["W"] + da.T @ i["x"][:, t], grads["U"] + da.T @ before[:, t]
            grads["x"][:, t] = da @ p["W"]
            dh = da @ p["U"] + (0 if lost else ~on * dh)
        return grads | {"h": dh}

    rng = np.random.default_rng(12)
    W, U = weights(rng, (N, M), (N, N))
    mask = np.arange(T) < np.array([T, T - 1, T - 3])[:, None]
    return forward, backward, {"W": W, "U": U}, {"x": rng.normal(size=(3, T, M)), "mask": mask}, {"h": rng.normal(size=(3, N))}


@pytest.mark.parametrize("lost", [False, True], ids=["right", "state-lost"])
def test_a_mask_of_booleans_is_no_sequence_of_whole_numbers(lost):
    verification = verify_gradient(*masked(lost), time_axis=1, cell=True)
    assert verification.verdict == ("fail" if lost else "pass"), str(verification)


def test_an_entry_without_gradient_says_how_constants_are_given():
    forward, backward, params, inputs, state0 = masked(False)
    inputs["mask"] = inputs["mask"].astype(float)
    real = lambda f: lambda p, i, *rest: f(p, i | {"mask": i["mask"] > 0.5}, *rest)  # noqa: E731
    verification = verify_gradient(real(forward), real(backward), params, inputs, state0, time_axis=1)
    assert "dE/dmask: missing, backward returns W, U, x, h; a constant, such as a mask, is handed over as integers" in \
        " ".join(str(verification).split())


def test_loss_and_gradient_summed_in_buffers_of_one_entrys_kind():
    """zeros_like(W) is a real array unless W is complex, too: no entry is made complex alone."""
    def loss_and_gradient(p, i, s):
        y, g = [s["h"]], {k: np.zeros_like(v) for k, v in (p | s).items()}
        for x_t in i["x"]:
            y.append(np.tanh(p["W"] @ x_t + p["U"] @ y[-1]))
        for t in reversed(range(T)):
            da = (g["h"] + y[t + 1]) * (1 - y[t + 1] ** 2)
            g["W"] += np.outer(da, i["x"][t])
            g["U"] += np.outer(da, y[t])
            g["h"] = p["U"].T @ da
        return 0.5 * sum(np.sum(v**2) for v in y[1:]), g

    rng = np.random.default_rng(13)
    W, U = weights(rng, (N, M), (N, N))
    forward, backward = from_loss_and_gradient(loss_and_gradient)
    x = {"x": rng.integers(-2, 3, (T, M))}
    verification = verify_gradient(forward, backward, {"W": W, "U": U}, x, {"h": rng.normal(size=N)}, time_axis=None)
    assert verification.verdict == "pass" and not any("differences" in note for note in verification.notes), str(verification)
    assert source_of(backward).name.endswith("loss_and_gradient")
