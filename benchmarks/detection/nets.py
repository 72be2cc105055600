"""Six recurrent nets with backward passes written by hand from the publications; every local derivative goes through a Plant.

One sequence, x (time, inputs), y (time, units). Terms are called after what they are the derivative of. `GATES` is the order of the rows.
"""

import numpy as np

from .plants import Plant, wanted

__all__ = ["NETS", "Net"]


def sigma(z):
    return 1 / (1 + np.exp(-z))


def around(values, t):
    """The value at t+1, t-1 (held at the ends), and both wrapping around."""
    if not wanted():
        return {}
    last = len(values) - 1
    return {"late": values[min(t + 1, last)], "early": values[max(t - 1, 0)], "late, wrapping": values[(t + 1) % len(values)]}


def slope_of_sigma(y, t):
    """Wrong derivatives of the logistic function, from its values y over time; none where none are wanted."""
    if not wanted():
        return {}
    v = y[t]
    s = sigma(v)
    moved = {k: z * (1 - z) for k, z in around(y, t).items()}
    return {"activation": v, "complement": 1 - v, "activated": s * (1 - s), "squared": (v * (1 - v)) ** 2,
            "forgotten": np.ones_like(v)} | moved


def slope_of_tanh(y, t):
    if not wanted():
        return {}
    v = y[t]
    moved = {k: 1 - z**2 for k, z in around(y, t).items()}
    return {"activation": v, "complement": 1 - v, "activated": 1 - np.tanh(v) ** 2, "squared": (1 - v**2) ** 2, "plus": 1 + v**2,
            "forgotten": np.ones_like(v)} | moved


class Net:
    """name, forward(params, x, state0) -> tape, backward(params, x, state0, grad_y, plant) -> grads; sizes for random arguments."""

    def __init__(self, name, cell, shapes, states, forward, backward):
        self.name, self.cell, self.shapes, self.states = name, cell, shapes, states
        self._forward, self._backward = forward, backward

    def arguments(self, rng, n, m, steps, radius):
        """Random weights, the recurrent ones scaled to a spectral radius per gate; unequal biases, nonzero initial states."""
        params = {}
        for name, shape in self.shapes(n, m).items():
            params[name] = rng.normal(size=shape) * 0.6
            if len(shape) == 2 and shape[1] == n:
                for g in range(shape[0] // n):
                    block = params[name][g * n:(g + 1) * n]
                    block *= radius / np.abs(np.linalg.eigvals(block)).max()
        inputs = {"x": rng.normal(size=(steps, m)) * 0.5}
        return params, inputs, {s: rng.normal(size=n) * 0.5 for s in self.states}

    def forward(self, params, inputs, state0):
        return {"y": np.stack(self._forward(params, inputs["x"], state0)["y"])}

    def backward(self, params, inputs, state0, grad_outputs, plant=None):
        plant = plant or Plant()
        plant.steps = len(inputs["x"])
        return self._backward(params, inputs["x"], state0, grad_outputs["y"], plant)


class Sums:
    """Weight gradients, summed step by step; each step's part goes through the plant."""

    def __init__(self, params, plant):
        self.grads, self.plant, self.steps = {k: np.zeros(np.shape(v), np.result_type(v, float)) for k, v in params.items()}, plant, None

    def outer(self, name, error, source, sources=None, t=0):
        """dE/dW += error source^T; `sources` is the sequence the source is from."""
        others = {} if sources is None else {f"source {k}": np.outer(error, v) for k, v in around(sources, t).items() if "early" not in k}
        if error.shape == source.shape and wanted():
            others["transposed"] = np.outer(source, error)
        self.grads[name] += self.plant(f"dE/d{name}", np.outer(error, source), **others)

    def bias(self, name, error):
        self.grads[name] += self.plant(f"dE/d{name}", error)


def through(plant, key, W, error, delay=0):
    """W^T error."""
    others = {"transposed": W @ error} if W.shape[0] == W.shape[1] and wanted() else {}
    return plant(key, W.T @ error, delay, **others)


def simple(f, slopes, slope):
    """Fully recurrent net y = f(Wx x + Wh y(t-1) + b)."""
    def forward(p, x, s):
        y, ys = s["y0"], []
        for x_t in x:
            y = f(p["Wx"] @ x_t + p["Wh"] @ y + p["b"])
            ys.append(y)
        return {"y": ys}

    def backward(p, x, s, G, plant):
        y = forward(p, x, s)["y"]
        before = [s["y0"], *y[:-1]]
        sums, dx, carry = Sums(p, plant), np.zeros(x.shape, G.dtype), np.zeros(len(s["y0"]))
        for t in reversed(range(len(x))):
            plant.at(t)
            wrong = slopes(y, t)
            error = (G[t] + carry) * plant("d y / d net", slope(y[t]), **wrong)
            if plant.key == "carry of y" and plant.steps - 1 - t >= plant.first and plant.kind == "past the slope":
                error = G[t] * slope(y[t]) + carry
            sums.outer("Wx", error, x[t], x, t)
            sums.outer("Wh", error, before[t], before, t)
            sums.bias("b", error)
            dx[t] = through(plant, "net <- x", p["Wx"], error)
            carry = plant("carry of y", through(plant, "net <- y_prev", p["Wh"], error, 1), 1, **{"past the slope": p["Wh"].T @ error})
        return sums.grads | {"x": dx, "y0": carry}

    return forward, backward


def lstm_forward(p, x, s):
    tape, y, c = {k: [] for k in ("i", "f", "g", "o", "c", "y")}, s["y0"], s["c0"]
    for x_t in x:
        zi, zf, zg, zo = (p["Wx"] @ x_t + p["Wh"] @ y + p["b"]).reshape(4, -1)
        i, f, g, o = sigma(zi), sigma(zf), np.tanh(zg), sigma(zo)
        c = f * c + i * g
        y = o * np.tanh(c)
        for k, v in (("i", i), ("f", f), ("g", g), ("o", o), ("c", c), ("y", y)):
            tape[k].append(v)
    return tape


def lstm_backward(p, x, s, G, plant):
    k, n = lstm_forward(p, x, s), len(s["y0"])
    before_y, before_c = [s["y0"], *k["y"][:-1]], [s["c0"], *k["c"][:-1]]
    h = [np.tanh(c) for c in k["c"]]
    sums, dx, dy, dc = Sums(p, plant), np.zeros(x.shape, G.dtype), np.zeros(n), np.zeros(n)
    Wi, Wf, Wg, Wo = np.split(p["Wh"], 4)
    for t in reversed(range(len(x))):
        plant.at(t)
        i, f, g, o = (k[v][t] for v in "ifgo")
        dy = dy + G[t]
        do = dy * plant("d y / d y_out", h[t], **around(h, t), unsquashed=k["c"][t])
        dh = dy * plant("d y / d s", o * (1 - h[t] ** 2), **{f"slope {w}": o * v for w, v in slope_of_tanh(h, t).items()},
                        **{"gate forgotten": 1 - h[t] ** 2})
        if plant.key == "carry of s" and plant.kind == "wrong side" and plant.steps - 1 - t >= plant.first:
            dc = dc * (1 - h[t] ** 2)
        dc = dc + dh
        di, dg = dc * plant("d s / d y_in", g, **around(k["g"], t), other=f), dc * plant("d s / d c", i, **around(k["i"], t), other=f)
        df = dc * plant("d s / d y_f", before_c[t], new=k["c"][t], **around(before_c, t))
        di = di * plant("d y_in / d net_in", i * (1 - i), **slope_of_sigma(k["i"], t))
        df = df * plant("d y_f / d net_f", f * (1 - f), **slope_of_sigma(k["f"], t))
        dg = dg * plant("d c / d net_c", 1 - g**2, **slope_of_tanh(k["g"], t))
        do = do * plant("d y_out / d net_out", o * (1 - o), **slope_of_sigma(k["o"], t))
        if plant.key == "d/d net_in, d/d net_f" and plant.steps - 1 - t >= plant.first:
            di, df = df, di
        error = np.concatenate([di, df, dg, do])
        sums.outer("Wx", error, x[t], x, t)
        sums.outer("Wh", error, before_y[t], before_y, t)
        sums.bias("b", error)
        dx[t] = p["Wx"].T @ error
        back = dc * plant("d s / d s_prev", f, 1, **around(k["f"], t), other=i, forgotten=1 + 0 * f)
        dc = plant("carry of s", back, 1, **{"wrong side": back})
        dy = sum(through(plant, f"{net} <- y_prev", W, e, 1) for net, W, e in
                 zip(("net_in", "net_f", "net_c", "net_out"), (Wi, Wf, Wg, Wo), (di, df, dg, do), strict=True))
    return sums.grads | {"x": dx, "y0": dy, "c0": dc}


def lstm1997_forward(p, x, s):
    tape, y, c, yi, yo = {k: [] for k in ("i", "o", "g", "h", "c", "y")}, s["y0"], s["c0"], s["i0"], s["o0"]
    for x_t in x:
        nets = [p[f"W{k}x"] @ x_t + p[f"W{k}y"] @ y + p[f"W{k}i"] @ yi + p[f"W{k}o"] @ yo + p[f"b{k}"] for k in "iog"]
        yi, yo, g = sigma(nets[0]), sigma(nets[1]), 4 * sigma(nets[2]) - 2
        c = c + yi * g
        h = 2 * sigma(c) - 1
        y = yo * h
        for k, v in (("i", yi), ("o", yo), ("g", g), ("h", h), ("c", c), ("y", y)):
            tape[k].append(v)
    return tape


def lstm1997_backward(p, x, s, G, plant):
    k, n = lstm1997_forward(p, x, s), len(s["y0"])
    before = {"y": [s["y0"], *k["y"][:-1]], "i": [s["i0"], *k["i"][:-1]], "o": [s["o0"], *k["o"][:-1]]}
    sums, dx = Sums(p, plant), np.zeros(x.shape, G.dtype)
    dy, dc, dyi, dyo = (np.zeros(n) for _ in range(4))
    for t in reversed(range(len(x))):
        plant.at(t)
        i, o, g, h = (k[v][t] for v in ("i", "o", "g", "h"))
        dy = dy + G[t]
        slope_g = {w: v for w, v in (("activation", g), ("tanh's", 1 - g**2), ("forgotten", np.ones(n)), ("squared", (1 - g**2 / 4) ** 2))}
        slope_g |= {w: 1 - v**2 / 4 for w, v in around(k["g"], t).items()}
        slope_h = {"activation": h, "tanh's": 1 - h**2, "forgotten": np.ones(n)} | {w: (1 - v**2) / 2 for w, v in around(k["h"], t).items()}
        do = dyo + dy * plant("d y / d out_c", h, **around(k["h"], t), unsquashed=k["c"][t])
        dc = dc + dy * plant("d y / d s", o * (1 - h**2) / 2, **{f"slope {w}": o * v for w, v in slope_h.items()},
                             **{"gate forgotten": (1 - h**2) / 2})
        di = dyi + dc * plant("d s / d in_c", g, **around(k["g"], t), other=h)
        dg = dc * plant("d s / d net_c", i * (1 - g**2 / 4), **{f"slope {w}": i * v for w, v in slope_g.items()},
                        **{"gate forgotten": 1 - g**2 / 4})
        di = di * plant("d y_in / d net_in", i * (1 - i), **slope_of_sigma(k["i"], t))
        do = do * plant("d y_out / d net_out", o * (1 - o), **slope_of_sigma(k["o"], t))
        errors = dict(zip("iog", (di, do, dg), strict=True))
        dx[t], carried = 0.0, dict.fromkeys("yio", 0.0)
        for net, e in errors.items():
            name = {"i": "net_in", "o": "net_out", "g": "net_c"}[net]
            sums.outer(f"W{net}x", e, x[t], x, t)
            sums.bias(f"b{net}", e)
            dx[t] += through(plant, f"{name} <- x", p[f"W{net}x"], e)
            for source, previous in (("y", "y_prev"), ("i", "y_in_prev"), ("o", "y_out_prev")):
                sums.outer(f"W{net}{source}", e, before[source][t], before[source], t)
                carried[source] = carried[source] + through(plant, f"{name} <- {previous}", p[f"W{net}{source}"], e, 1)
        dy, dyi, dyo = carried["y"], carried["i"], carried["o"]
        dc = plant("carry of s", dc, 1)
    return sums.grads | {"x": dx, "y0": dy, "c0": dc, "i0": dyi, "o0": dyo}


def gru(before_product):
    """GRU: n = tanh(Wn x + r (Un y + bm) + bn), or n = tanh(Wn x + Un (r y) + bn) with the reset before the product."""
    def forward(p, x, s):
        tape, y = {k: [] for k in ("r", "z", "n", "m", "q", "y")}, s["y0"]
        for x_t in x:
            r = sigma(p["Wr"] @ x_t + p["Ur"] @ y + p["br"])
            z = sigma(p["Wz"] @ x_t + p["Uz"] @ y + p["bz"])
            q = r * y
            m = p["Un"] @ q if before_product else p["Un"] @ y + p["bm"]
            n = np.tanh(p["Wn"] @ x_t + p["bn"] + (m if before_product else r * m))
            y = (1 - z) * n + z * y
            for k, v in (("r", r), ("z", z), ("n", n), ("m", m), ("q", q), ("y", y)):
                tape[k].append(v)
        return tape

    def backward(p, x, s, G, plant):
        k = forward(p, x, s)
        before, sums, dx, dy = [s["y0"], *k["y"][:-1]], Sums(p, plant), np.zeros(x.shape, G.dtype), np.zeros(len(s["y0"]))
        for t in reversed(range(len(x))):
            plant.at(t)
            r, z, n, m, y = k["r"][t], k["z"][t], k["n"][t], k["m"][t], before[t]
            dy = dy + G[t]
            dz = dy * plant("d y / d z", y - n, plus=y + n, **{"state forgotten": -n, "candidate forgotten": y})
            dn = dy * plant("d y / d n", 1 - z, **{"gate for complement": z}, **{w: 1 - v for w, v in around(k["z"], t).items()})
            back = dy * plant("d y / d y_prev", z, 1, complement=1 - z, **around(k["z"], t))
            slopes = slope_of_tanh(k["n"], t)
            if before_product:
                dn = dn * plant("d n / d net_n", 1 - n**2, **slopes)
                dq = through(plant, "net_n <- ry", p["Un"], dn)
                dr = dq * plant("d ry / d r", y, new=k["y"][t], **around(before, t))
                back = back + dq * plant("d ry / d y_prev", r, 1, other=z, **around(k["r"], t))
            else:
                dr = dn * plant("d n / d r", m * (1 - n**2), **{"slope forgotten": m, "product forgotten": 1 - n**2},
                                **{f"slope {w}": m * v for w, v in slopes.items() if w != "forgotten"})
                dm = dn * plant("d n / d net_m", r * (1 - n**2), **{"gate forgotten": 1 - n**2, "slope forgotten": r},
                                **{f"slope {w}": r * v for w, v in slopes.items() if w != "forgotten"})
                dn = dn * plant("d n / d net_n", 1 - n**2, **slopes)
                back = back + through(plant, "net_m <- y_prev", p["Un"], dm, 1)
                sums.outer("Un", dm, y, before, t)
                sums.bias("bm", dm)
            dr = dr * plant("d r / d net_r", r * (1 - r), **slope_of_sigma(k["r"], t))
            dz = dz * plant("d z / d net_z", z * (1 - z), **slope_of_sigma(k["z"], t))
            if before_product:
                sums.outer("Un", dn, k["q"][t], k["q"], t)
            for g, e in (("r", dr), ("z", dz), ("n", dn)):
                sums.outer(f"W{g}", e, x[t], x, t)
                sums.bias(f"b{g}", e)
                dx[t] += through(plant, f"net_{g} <- x", p[f"W{g}"], e)
            sums.outer("Ur", dr, y, before, t)
            sums.outer("Uz", dz, y, before, t)
            back = back + through(plant, "net_r <- y_prev", p["Ur"], dr, 1) + through(plant, "net_z <- y_prev", p["Uz"], dz, 1)
            dy = plant("carry of y", back, 1)
        return sums.grads | {"x": dx, "y0": dy}

    return forward, backward


def square(*names):
    return lambda n, m: {k: (n,) if k.startswith("b") else (n, m if k in names else n) for k in SHAPES[names]}


SHAPES = {
    ("Wx",): ("Wx", "Wh", "b"),
    ("Wr", "Wz", "Wn"): ("Wr", "Wz", "Wn", "Ur", "Uz", "Un", "br", "bz", "bn"),
    ("Wix", "Wox", "Wgx"): tuple(f"W{g}{s}" for g in "iog" for s in "xyio") + ("bi", "bo", "bg"),
}

NETS = {net.name: net for net in (
    Net("tanh", "tanh", square("Wx"), ["y0"], *simple(np.tanh, slope_of_tanh, lambda y: 1 - y**2)),
    Net("conventional", "conventional", square("Wx"), ["y0"], *simple(sigma, slope_of_sigma, lambda y: y * (1 - y))),
    Net("lstm", "lstm", lambda n, m: {"Wx": (4 * n, m), "Wh": (4 * n, n), "b": (4 * n,)}, ["y0", "c0"], lstm_forward, lstm_backward),
    Net("lstm1997", "lstm1997", square("Wix", "Wox", "Wgx"), ["y0", "c0", "i0", "o0"], lstm1997_forward, lstm1997_backward),
    Net("gru", "gru", lambda n, m: square("Wr", "Wz", "Wn")(n, m) | {"bm": (n,)}, ["y0"], *gru(False)),
    Net("gru_reset_before", "gru_reset_before", square("Wr", "Wz", "Wn"), ["y0"], *gru(True)),
)}
