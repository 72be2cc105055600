"""The nets of the follow-ups in plain scalar loops, each with values for the free symbols of its claims: (net, values by name).

Written from the publications; knows nothing of the derivations but the names of their quantities.
"""

import itertools

import numpy as np
from plain_nets import PlainNet, g_1997, logistic


def weights(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).round(2)


def given(tape, name, array):
    """Set a weight array, indices from 1."""
    for index in np.ndindex(array.shape):
        tape.set(name, *(k + 1 for k in index), value=float(array[index]))


def gers_2000(forget=None):
    """Two blocks of two cells; units 1, 2 input gates, 3, 4 forget gates, 5 ... 8 cells. `forget(t)` replaces the forget gates."""
    n, w = 8, weights(8, 8)

    def cell(j, v):
        return 2 * j + 2 + v

    def run(tape):
        given(tape, "w", w)
        for u in range(1, n + 1):
            tape.set("y", u, 0, value=u / 10)
        for j, v in itertools.product((1, 2), repeat=2):
            tape.set("s", j, v, 0, value=0.5 * v)
        for t in range(1, 8):
            for u in range(1, n + 1):
                tape.set("net", u, t, value=sum(tape("w", u, a) * tape.frozen("y", a, t - 1) for a in range(1, n + 1)))
            for j in (1, 2):
                tape.set("y", j, t, value=logistic(tape("net", j, t)))
                tape.set("y", j + 2, t, value=logistic(tape("net", j + 2, t)) if forget is None else forget(t))
                for v in (1, 2):
                    tape.set("s", j, v, t, value=tape("y", j + 2, t) * tape("s", j, v, t - 1) + tape("y", j, t) * g_1997(
                        tape("net", cell(j, v), t)))
                    tape.set("y", cell(j, v), t, value=np.tanh(tape("s", j, v, t)))
    net = PlainNet(run, gate_in=lambda j: j, gate_phi=lambda j: j + 2, cell=cell)
    largest = max(net.base("y", 3, t) for t in range(1, 8))
    return net, {"j": 1, "v": 2, "t": 2, "q": 3, "m": 4, "p": 1, "n": n, r"y^{\varphi}_{max}": largest}


def gers_2002(peepholes=True):
    """A block of S = 2 cells among n = 3 other units whose activations are given; errors e and E for the output gate."""
    n, S = 3, 2
    drawn = {name: weights(S if name[0] == "p" else n, seed=k) for k, name in enumerate(
        ("w_in", "w_phi", "w_out", "p_in", "p_phi", "p_out"))}
    w_c, outside, errors = weights(S, n, seed=7), weights(9, n, seed=8), weights(S, 9, seed=9)

    def run(tape):
        for name, array in drawn.items():
            given(tape, name, array)
        for v in (1, 2):
            tape.set("s", v, 0, value=0.0)
        for t in range(1, 9):
            y = outside[t - 1]
            states = tape if peepholes else tape.frozen
            for gate in ("in", "phi"):
                tape.set(f"net_{gate}", t, value=sum(tape(f"w_{gate}", u) * y[u - 1] for u in range(1, n + 1))
                         + sum(tape(f"p_{gate}", x) * states("s", x, t - 1) for x in (1, 2)))
                tape.set(f"y_{gate}", t, value=logistic(tape(f"net_{gate}", t)))
            for v in (1, 2):
                tape.set("net_c", v, t, value=w_c[v - 1] @ y)
                tape.set("s", v, t, value=tape("y_phi", t) * tape("s", v, t - 1) + tape("y_in", t) * g_1997(tape("net_c", v, t)))
            tape.set("net_out", t, value=sum(tape("w_out", u) * y[u - 1] for u in range(1, n + 1))
                     + sum(tape("p_out", x) * tape("s", x, t) for x in (1, 2)))
            tape.set("y_out", t, value=logistic(tape("net_out", t)))
            for v in (1, 2):
                tape.set("y_c", v, t, value=tape("y_out", t) * tape("s", v, t))
            tape.set("E", t, value=-sum(errors[v - 1, t] * tape("y_c", v, t) for v in (1, 2)))
    net = PlainNet(run, e=lambda v, t: errors[v - 1, t])
    net.others["delta_out"] = lambda t: -net.d(("E", (t,)), ("net_out", (t,)))
    return net, {"v": 1, "x": 2, "t": 3, "r": 3, "q": 4, "n": n, "S": S, "alpha": 0.3}


def greff(variant, T=4):
    """N = 2 units, M = 2 inputs, T steps of a variant, written from the publication; errors are dE/d(.) by complex step."""
    N, M = 2, 2
    x, above = weights(T, M, seed=1), weights(T, N, seed=2)
    sizes = {"W": (N, M), "R": (N, N), "p": (N,), "b": (N,)}
    drawn = {f"{kind}_{gate}": weights(*size, seed=10 * k + g) for k, (kind, size) in enumerate(sizes.items(), 3)
             for g, gate in enumerate("zifo")}
    between = {f"R_{to}{of}": weights(N, N, seed=90 + k) for k, (to, of) in enumerate(itertools.product("ifo", "ifo"))}
    squash_in = (lambda z: z) if variant == "NIAF" else np.tanh
    squash_out = (lambda z: z) if variant == "NOAF" else np.tanh

    def run(tape):
        for name, array in (drawn | between).items():
            given(tape, name, array)
        for i in (1, 2):
            for name in "ycifo":
                tape.set(name, i, 0, value=0.0)

        def pre(gate, i, t):
            total = sum(tape(f"W_{gate}", i, j) * tape("x", j, t) for j in (1, 2)) + tape(f"b_{gate}", i)
            total += sum(tape(f"R_{gate}", i, j) * tape("y", j, t - 1) for j in (1, 2))
            if gate != "z" and variant != "NP":
                total += tape(f"p_{gate}", i) * tape("c", i, t if gate == "o" else t - 1)
            if gate != "z" and variant == "FGR":
                total += sum(tape(f"R_{gate}{of}", i, j) * tape(of, j, t - 1) for of in "ifo" for j in (1, 2))
            tape.set(f"bar_{gate}", i, t, value=total)
            return tape(f"bar_{gate}", i, t)

        for t in range(1, T + 1):
            for j in (1, 2):
                tape.set("x", j, t, value=x[t - 1, j - 1])
            for i in (1, 2):
                tape.set("z", i, t, value=squash_in(pre("z", i, t)))
                tape.set("i", i, t, value=1.0 if variant == "NIG" else logistic(pre("i", i, t)))
                forget = 1 - tape("i", i, t) if variant == "CIFG" else 1.0 if variant == "NFG" else logistic(pre("f", i, t))
                tape.set("f", i, t, value=forget)
                tape.set("c", i, t, value=tape("z", i, t) * tape("i", i, t) + tape("c", i, t - 1) * tape("f", i, t))
                tape.set("o", i, t, value=1.0 if variant == "NOG" else logistic(pre("o", i, t)))
                tape.set("y", i, t, value=squash_out(tape("c", i, t)) * tape("o", i, t))
        tape.set("E", value=sum(above[t - 1, i - 1] * tape("y", i, t) for t in range(1, T + 1) for i in (1, 2)))
    net = PlainNet(run, Delta=lambda i, t: above[t - 1, i - 1])

    def error(vector):
        return lambda i, t: net.d(("E", ()), (vector, (i, t))) if t <= T else 0.0
    net.others |= {f"d{name}": error(name) for name in "xyc"} | {f"d{gate}": error(f"bar_{gate}") for gate in "zifo"}
    return net, {"i": 2, "j": 1, "t": 2, "N": N, "M": M, "T": T}


def rtrl_in_loops(w, v, x, y):
    """(p^k_ij after len(x) steps, products made for them, numbers kept), by the printed recursion; f logistic; j < n: units."""
    n, m = v.shape
    p, products = np.zeros((n, n, n + m)), 0
    for inputs in x:
        z, before = np.concatenate([y, inputs]), p.copy()
        y = logistic(w @ y + v @ inputs)
        for k, i, j in itertools.product(range(n), range(n), range(n + m)):
            total = z[j] if i == k else 0.0
            for unit in range(n):
                total += w[k, unit] * before[unit, i, j]
                products += 1
            p[k, i, j] = y[k] * (1 - y[k]) * total
            products += 1
    return p, products, p.size


def recurrent():
    """n = 2 logistic units, m = 2 inputs: y_k(t+1) = f(s_k(t)) of RTRL; E(t) reads the units of step t."""
    n, m = 2, 2
    w, v, x, e = weights(n, n, seed=1), weights(n, m, seed=2), weights(8, m, seed=3), weights(n, 9, seed=4)

    def run(tape):
        given(tape, "w", w)
        given(tape, "v", v)
        for k in (1, 2):
            tape.set("y", k, 0, value=0.1 * k)
        for t in range(8):
            for j in (1, 2):
                tape.set("x", j, t, value=x[t, j - 1])
            tape.set("E", t, value=-sum(e[k - 1, t] * tape("y", k, t) for k in (1, 2)))
            for k in (1, 2):
                tape.set("s", k, t, value=sum(tape("w", k, j) * tape("y", j, t) + tape("v", k, j) * tape("x", j, t) for j in (1, 2)))
                tape.set("y", k, t + 1, value=logistic(tape("s", k, t)))
    net = PlainNet(run, e=lambda k, t: e[k - 1, t])
    net.others["slope"] = lambda k, t: net.base("y", k, t + 1) * (1 - net.base("y", k, t + 1))
    net.others["theta"] = lambda i, tau, t: net.others["slope"](i, tau) * sum(
        e[k, t] * net.d(("y", (k + 1, t)), ("y", (i, tau + 1))) for k in range(n))
    _, counted, kept = rtrl_in_loops(w, v, x[:3], np.zeros(n))
    net.others |= {"products": lambda: counted // 3, "storage": lambda: kept}
    return net, {"i": 1, "j": 2, "k": 2, "t": 4, "n": n, "m": m}


def elman(constant):
    """n = 2 hidden units and their context, a constant or followed; E(t) reads the hidden units of step t."""
    n, m = 2, 2
    w, v, x, out = weights(n, n, seed=1), weights(n, m, seed=2), weights(9, m, seed=3), weights(n, seed=4)

    def run(tape):
        given(tape, "w", w)
        given(tape, "v", v)
        for k in (1, 2):
            tape.set("y", k, 0, value=0.5)
        for t in range(1, 9):
            for k in (1, 2):
                tape.set("c", k, t, value=(tape.frozen if constant else tape)("y", k, t - 1))
            for k in (1, 2):
                tape.set("net", k, t, value=sum(tape("w", k, j) * tape("c", j, t) + v[k - 1, j - 1] * x[t, j - 1] for j in (1, 2)))
                tape.set("y", k, t, value=logistic(tape("net", k, t)))
            tape.set("E", t, value=sum(out[k - 1] * tape("y", k, t) for k in (1, 2)) ** 2)
    net = PlainNet(run, slope=lambda k, t: net.base("y", k, t) * (1 - net.base("y", k, t)))
    net.others["delta"] = lambda k, t: -net.d(("E", (t,)), ("net", (k, t)))
    return net, {"i": 2, "j": 1, "k": 1, "l": 2, "t": 3, "q": 2, "n": n, "m": m}


def mozer(truncated=True, focused=False, T=None):
    """n = 2 units with time constants, N = 2 inputs."""
    n, N = 2, 2
    tau = [0.9, 0.6] if T is None else [np.exp(-1 / T)] * 2
    w, v, x, decay = weights(n, n, seed=1), weights(n, N, seed=2), weights(9, N, seed=3), [0.7, 0.8]

    def run(tape):
        given(tape, "w", w)
        given(tape, "v", v)
        for i in (1, 2):
            tape.set("c", i, 0, value=0.2 * i)
        for t in range(1, 9):
            for i in (1, 2):
                reads = tape.frozen if truncated else tape
                total = 0 if focused else sum(tape("w", i, j) * reads("c", j, t - 1) for j in (1, 2))
                tape.set("net", i, t, value=total + sum(tape("v", i, j) * x[t, j - 1] for j in (1, 2)))
                keep, write = (decay[i - 1], 1) if focused else (tau[i - 1], 1 - tau[i - 1])
                tape.set("c", i, t, value=keep * tape("c", i, t - 1) + write * np.tanh(tape("net", i, t)))
    net = PlainNet(run, tau=lambda i: tau[i - 1], d=lambda i: decay[i - 1], x=lambda j, t: x[t, j - 1])
    return net, {"i": 2, "j": 2 if truncated else 1, "t": 2, "r": 2, "q": 4, "n": n, "N": N, "T": T}


def cascade(w_s=-3.7):
    """One unit of recurrent cascade-correlation with n = 2 inputs."""
    n, reads, w = 2, weights(9, 2, seed=3), weights(2, seed=4)

    def run(tape):
        given(tape, "w", w)
        tape.set("w_s", value=w_s)
        tape.set("V", 0, value=0.3)
        for t in range(1, 9):
            tape.set("net", t, value=sum(tape("w", i) * reads[t, i - 1] for i in (1, 2)) + tape("w_s") * tape("V", t - 1))
            tape.set("V", t, value=logistic(tape("net", t)))
    net = PlainNet(run, I=lambda i, t: reads[t, i - 1], slope=lambda t: net.base("V", t) * (1 - net.base("V", t)))
    return net, {"j": 2, "t": 3, "q": 4, "n": n, "w_{max}": abs(w_s)}


def time_delays():
    """Three layers of two units with delays 0 ... 2, 1, 2 over an input of two units."""
    n, delays = 2, [None, 2, 1, 2]
    w = {(a, d): weights(n, n, seed=10 * a + d) for a in (1, 2, 3) for d in range(delays[a] + 1)}
    x = weights(20, n, seed=1)

    def run(tape):
        for t in range(20):
            for i in (1, 2):
                tape.set("y", 0, i, t, value=x[t, i - 1])
            for a in (1, 2, 3):
                for i in (1, 2):
                    tape.set("net", a, i, t, value=sum(w[a, d][i - 1, j - 1] * (tape("y", a - 1, j, t - d) if t >= d else 0)
                                                       for d in range(delays[a] + 1) for j in (1, 2)))
                    tape.set("y", a, i, t, value=np.tanh(tape("net", a, i, t)))
    net = PlainNet(run, D=lambda a: delays[a], span=lambda a: sum(delays[1:a + 1]), w=lambda a, i, j, d: w[a, d][i - 1, j - 1],
                   slope=lambda a, i, t: 1 - net.base("y", a, i, t) ** 2)
    return net, {"i": 2, "j": 1, "a": 3, "b": 2, "t_0": 5, "r": 0, "n": n}


def window_pass(k1=3, k2=5, longest=8):
    """One pass of truncated BPTT of n = 2 units, and the flow of unit errors, each by its own recursion."""
    n = 2
    jacobians, injected, direct = weights(longest + 1, n, n, seed=1), weights(longest + 1, n, seed=2), weights(longest + 1, n, seed=3)
    injected[0], injected[k1 + 1:] = 0, 0

    def backwards(errors):
        rows = [np.zeros(n)]
        for m in range(1, longest + 1):
            rows.append(rows[-1] @ jacobians[m - 1] + errors[m])
        return rows
    e = backwards(injected)
    unit = {(k, p): backwards(np.eye(n)[k - 1] * (np.arange(longest + 1) == p)[:, None]) for k in (1, 2) for p in range(1, longest + 1)}
    added = [sum(injected[p] @ [unit[k, p][m] @ direct[m] for k in (1, 2)] for p in range(1, k1 + 1)) for m in range(longest + 1)]
    net = PlainNet(lambda tape: None, e=lambda i, m: e[m][i - 1], d=lambda k, p: injected[p, k - 1], b=lambda i, m: direct[m, i - 1],
                   F=lambda k, i, p, m: unit[k, p][m][i - 1], c=lambda m: added[m], reach=lambda p: k2 - p)
    return net, {"i": 2, "n": n, "k_1": k1, "k_2": k2, "R": longest - k2, "p": 2, "m": 4}


def narx(at):
    """n = 2 units with N = 3 delays: phi^p(q) by its recursion, from random jumps."""
    n, N, longest = 2, 3, 14
    jumps = weights(N + 1, longest, n, n, seed=1) * 0.15
    phi = {(0, q): np.array([1.0, 0.0]) * (q == 0) for q in range(-9, longest)}
    for p in range(1, 8):
        for q in range(-6, longest):
            phi[p, q] = sum(phi[p - 1, q - d] @ jumps[d, max(q - d, 0)] if q - d > -7 else np.zeros(n) for d in range(1, N + 1))
    alpha = [0, *(np.abs(jumps[d]).sum(axis=-1).max() for d in range(1, N + 1))]
    net = PlainNet(lambda tape: None, phi=lambda p, k, q: phi[p, q][k - 1], line=lambda p: p * N, alpha=lambda d: alpha[d],
                   a=lambda i, k, d, q: jumps[d, q, i - 1, k - 1])
    return net, {"u": 1, "n": n, "N": N, "rho": sum(alpha)} | at


def lyapunov(gates=None, T=5):
    """n = 3 states, random step Jacobians or diagonal ones, decomposed by numpy; products taken plainly."""
    n = 3
    D = weights(T + 1, n, n, seed=1) if gates is None else np.array([np.diag(g) for g in gates])
    Q, R, P, S = ([np.linalg.qr(weights(n, n, seed=2))[0] if gates is None else np.eye(n)], [None], [np.eye(n)], [np.eye(n)])
    for t in range(1, T + 1):
        q, r = np.linalg.qr(D[t] @ Q[-1])
        signs = np.sign(np.diag(r))
        Q.append(q * signs)
        R.append(signs[:, None] * r)
        P.append(D[t] @ P[-1])
        S.append(R[t] @ S[-1])

    def entry(matrices):
        return lambda i, j, t: matrices[t][i - 1, j - 1]
    net = PlainNet(lambda tape: None, D=entry(D), Q=entry(Q), R=entry(R), P=entry(P), S=entry(S), r=lambda i, t: R[t][i - 1, i - 1])
    net.others |= {"lambda": lambda i, T: np.mean([np.log(R[t][i - 1, i - 1]) for t in range(1, T + 1)]),
                   "z": lambda i, T: (P[T] @ Q[0])[i - 1, 0], "detD": lambda t: abs(np.linalg.det(D[t])),
                   "norm": lambda T: np.linalg.norm(P[T], 2), "gate": lambda i, t: D[t][i - 1, i - 1]}
    return net, {"i": 2, "j": 1, "r": 1, "n": n, "T": T}
