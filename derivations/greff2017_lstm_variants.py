r"""Greff et al. 2017, "LSTM: a search space odyssey": the full gradient of the vanilla LSTM and of its eight variants.

Problem. The vanilla LSTM, units i = 1..N, inputs j = 1..M, with sigma the logistic function, g = h = tanh,

    zb_i(t) = W_z x(t) + R_z y(t-1) + b_z                      z = g(zb)          block input
    ib_i(t) = W_i x(t) + R_i y(t-1) + p_i c(t-1) + b_i         i = sigma(ib)      input gate
    fb_i(t) = W_f x(t) + R_f y(t-1) + p_f c(t-1) + b_f         f = sigma(fb)      forget gate
    ob_i(t) = W_o x(t) + R_o y(t-1) + p_o c(t) + b_o           o = sigma(ob)      output gate
    c_i(t) = z_i(t) i_i(t) + c_i(t-1) f_i(t),      y_i(t) = h(c_i(t)) o_i(t)

and eight variants, each with one change: NIG, NFG, NOG (no input, forget, output gate: 1 in its place), NIAF, NOAF (g or h
the identity), CIFG (f = 1 - i), NP (no peepholes), FGR (all gates read all gates of the step before). What are the errors
d = dE/d(.) of a sequence, all paths included? Printed in the appendix for the vanilla cell ("backpropagation through time"),
with Delta_i(t) the error that comes to y_i(t) from above:

    dy = Delta + R_z^T dz(t+1) + R_i^T di(t+1) + R_f^T df(t+1) + R_o^T do(t+1)
    do = dy h(c) sigma'(ob)
    dc = dy o h'(c) + p_o do + p_i di(t+1) + p_f df(t+1) + dc(t+1) f(t+1)
    df = dc c(t-1) sigma'(fb),      di = dc z sigma'(ib),      dz = dc i g'(zb)
    dx = W_z^T dz + W_i^T di + W_f^T df + W_o^T do

where dz, di, df, do are errors at zb, ib, fb, ob, and all errors at T+1 are 0.

Method. The chain rule: the error of a vector is the sum, over the equations that read it, of their direct derivative times
their error. Which equations read it is found in the forward pass of each variant; each direct derivative is a step.

Results. The printed gradient is right, for every N and M. Each variant changes the errors named below and no others:
a gate that is gone takes its peephole and its R^T with it; CIFG gives di = dc (z - c(t-1)) sigma'(ib); FGR adds
sum_g R_{*g}^T dg(t+1) to the error of every gate. Only NFG and CIFG change the direct way through c, dc(t+1) f(t+1).
"""

from dataclasses import dataclass

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Sum

from flowcheck.claims import Check, Claim, Differentiate, Given, Proof, Step, indices, partial, pick, pick_terms, quantity, same_unit, total
from flowcheck.notation import sigma, tanh

i, j, k, a, b, N, M, T = indices("i j k a b N M T")
t, r = sympy.symbols("t r", integer=True)
GATES = "zifo"  # the block input counts as one here
VARIANTS = ("NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
GONE = {"NIG": "i", "NFG": "f", "NOG": "o", "CIFG": "f"}


def vectors(name, template):
    """One quantity for each gate; G in the template is its letter."""
    return {gate: quantity(name + gate, template.replace("G", gate)) for gate in GATES}


x, y, c = (quantity(name, name + "_{{{0}}}({1})") for name in "xyc")
act, bar = vectors("", "G_{{{0}}}({1})"), vectors("bar_", r"\bar{{G}}_{{{0}}}({1})")
d_x, d_y, d_c = (quantity(f"d{name}", rf"\delta {name}_{{{{{{0}}}}}}({{1}})") for name in "xyc")
d_bar, d_act = vectors("d", r"\delta G_{{{0}}}({1})"), vectors("e", r"\epsilon G_{{{0}}}({1})")
above, E = quantity("Delta", r"\Delta_{{{0}}}({1})"), sympy.Symbol("E")
W, R = vectors("W_", "W_{{G,{0} {1}}}"), vectors("R_", "R_{{G,{0} {1}}}")
p, bias = vectors("p_", "p_{{G,{0}}}"), vectors("b_", "b_{{G,{0}}}")
RG = {(to, of): quantity(f"R_{to}{of}", rf"R_{{{{{to} {of},{{0}} {{1}}}}}}") for to in "ifo" for of in "ifo"}


# Forward pass.


@dataclass(frozen=True)
class Equation:
    """out_i(t) = formula; `sums`: [(vector, lag, weight)] read by all weights of a row, `own`: [(vector, lag)] of the same unit."""

    out: object
    error: object
    formula: object
    sums: tuple = ()
    own: tuple = ()

    @property
    def given(self):
        return Given(f"forward pass: {self.out.__name__}_i(t)", self.out(i, t), self.formula, forall=(i, t))


def gates_of(variant):
    """The gates that a variant has, in order; z among them."""
    return [gate for gate in GATES if gate != GONE.get(variant)]


def forward(variant):
    """The forward pass of a variant."""
    present = gates_of(variant)
    g, h = ((lambda v: v) if variant == name else tanh for name in ("NIAF", "NOAF"))
    value = {gate: act[gate](i, t) if gate in present else Integer(1) for gate in GATES}
    if variant == "CIFG":
        value["f"] = 1 - value["i"]
    equations = []
    for gate in present:
        sums = [(x, 0, W[gate]), (y, 1, R[gate])]
        sums += [(act[of], 1, RG[gate, of]) for of in "ifo"] if variant == "FGR" and gate != "z" else []
        own = [] if gate == "z" or variant == "NP" else [(c, 0 if gate == "o" else 1)]
        formula = sum(Sum(weight(i, k) * vector(k, t - lag), (k, 1, M if vector is x else N)) for vector, lag, weight in sums)
        formula += sum(p[gate](i) * vector(i, t - lag) for vector, lag in own) + bias[gate](i)
        equations += [Equation(bar[gate], d_bar[gate], formula, tuple(sums), tuple(own)),
                      Equation(act[gate], d_act[gate], (g if gate == "z" else sigma)(bar[gate](i, t)), own=((bar[gate], 0),))]
    states = value["z"] * value["i"] + c(i, t - 1) * value["f"]
    output = h(c(i, t)) * value["o"]
    inside = [(act[gate], 0) for gate in "zif" if states.has(act[gate])]
    equations += [Equation(c, d_c, states, own=(*inside, (c, 1))),
                  Equation(y, d_y, output, own=((c, 0), *([(act["o"], 0)] if "o" in present else [])))]
    return equations


# Errors, by the chain rule over the equations that read a vector.


def apart(equation, vector):
    """Activations are varied one by one."""
    heads = {type(node) for node in equation.formula.atoms(sympy.Function)} & {x, y, c, *act.values(), *bar.values()}
    yield Given("activations are varied one by one", partial(vector(a, r), vector(b, r)), KroneckerDelta(a, b), forall=(a, b, r))
    s = sympy.Symbol("s", integer=True)
    for other in sorted(heads - {vector}, key=lambda head: head.__name__):
        yield Given("activations are varied one by one", partial(other(a, r), vector(b, s)), Integer(0), forall=(a, b, r, s))


def edge(equation, vector, lag, weight=None):
    """Step: the direct derivative of an equation by a vector that it reads, for a whole row of weights or for the same unit."""
    heads = (x, y, c, *act.values(), *bar.values())
    node = vector(j if weight else i, t - lag)
    value = weight(i, j) if weight else sympy.diff(sum(term for term in sympy.Add.make_args(equation.formula) if not term.has(Sum)), node)
    return Step(f"{equation.out.__name__} reads {vector.__name__}", partial(equation.out(i, t), node), value,
                (Differentiate(equation.given, heads), *apart(equation, vector), pick), forall=(i, j, t))


def error_of(vector, error, equations):
    """(chain rule, edges) of the error of a vector."""
    terms, edges = [above(i, t)] if vector is y else [], []
    for e in equations:
        for of, lag, weight in e.sums:
            if of is vector:
                terms.append(Sum(partial(e.out(k, t + lag), vector(i, t)) * e.error(k, t + lag), (k, 1, N)))
                edges.append(edge(e, vector, lag, weight))
        for of, lag in e.own:
            if of is vector:
                terms.append(partial(e.out(i, t + lag), vector(i, t)) * e.error(i, t + lag))
                edges.append(edge(e, vector, lag))
    words = f"chain rule: {vector.__name__} is read by " + ", ".join(e.out.__name__ for e in equations if vector in {
        of for of, *_ in (*e.sums, *e.own)})
    return Given(words, error(i, t), sympy.Add(*terms), forall=(i, t), lemma=True), edges


# The formulas, as the appendix has them, with what a variant changes.


def back(weights, gates, shift=1):
    """sum over gates of R^T d(t+1), or W^T d(t)."""
    return sum(Sum(weights[gate](k, i) * d_bar[gate](k, t + shift), (k, 1, N)) for gate in gates)


def formulas(variant):
    """{error: right side} of a variant."""
    present = gates_of(variant)
    c_t, z, o = c(i, t), act["z"](i, t), act["o"](i, t) if "o" in present else 1
    h, h_slope = (c_t, 1) if variant == "NOAF" else (tanh(c_t), tanh.slope(c_t))
    g_slope = 1 if variant == "NIAF" else tanh.slope(bar["z"](i, t))
    in_gate = act["i"](i, t) if "i" in present else 1
    forget_next = 1 - act["i"](i, t + 1) if variant == "CIFG" else act["f"](i, t + 1) if "f" in present else 1
    from_gates = {gate: sum(Sum(RG[to, gate](k, i) * d_bar[to](k, t + 1), (k, 1, N)) for to in "ifo") if variant == "FGR" else 0
                  for gate in "ifo"}
    peepholes = 0 if variant == "NP" else sum(p[gate](i) * d_bar[gate](i, t + shift) for gate, shift in (("o", 0), ("i", 1), ("f", 1))
                                              if gate in present)
    input_term = z - c(i, t - 1) if variant == "CIFG" else z
    gate_errors = {"o": d_y(i, t) * h, "f": d_c(i, t) * c(i, t - 1), "i": d_c(i, t) * input_term}
    return {
        d_y: above(i, t) + back(R, present),
        **{d_bar[gate]: (gate_errors[gate] + from_gates[gate]) * sigma.slope(bar[gate](i, t)) for gate in "ofi" if gate in present},
        d_c: d_y(i, t) * o * h_slope + peepholes + d_c(i, t + 1) * forget_next,
        d_bar["z"]: d_c(i, t) * in_gate * g_slope,
        d_x: back(W, present, 0),
    }


def errors_of(variant):
    """{error: Step} of a variant: each formula from its forward pass."""
    equations = forward(variant)
    rule = {e.out: error_of(e.out, e.error, equations) for e in equations} | {x: error_of(x, d_x, equations)}
    steps = {}
    for error, right in formulas(variant).items():
        out = {d_x: x, d_y: y, d_c: c, **{d_bar[gate]: bar[gate] for gate in GATES}}[error]
        inner = act[next(gate for gate in GATES if bar[gate] is out)] if out in bar.values() else None
        use = [rule[out][0], *rule[out][1], *([rule[inner][0], *rule[inner][1]] if inner else [])]
        steps[error] = Step(f"{variant}: {error.__name__}", error(i, t), right, tuple(use), forall=(i, t))
    return steps


# Gradients of the weights, vanilla: the sequence has steps t = 1..T; y(0) and c(0) are given.

vanilla = {e.out: e for e in forward("vanilla")}


def gradient(gate, weight, term, *of):
    """dE/dweight = sum over steps of d(t) times what the weight reads."""
    equation = vanilla[bar[gate]]
    rule = Given(f"chain rule: the weight feeds {gate}b at every step", total(E, weight(*of)),
                 Sum(Sum(d_bar[gate](k, t) * partial(bar[gate](k, t), weight(*of)), (k, 1, N)), (t, 1, T)), forall=of, lemma=True)
    one_by_one = Given("weights are varied one by one", partial(weight(*(a, b)[:len(of)]), weight(*of)), sympy.Mul(*(
        KroneckerDelta(left, right) for left, right in zip((a, b), of))), forall=(*(a, b)[:len(of)], *of))
    direct = Step("direct derivative", partial(bar[gate](k, t), weight(*of)), KroneckerDelta(k, i) * term,
                  (Differentiate(equation.given, (weight,)), one_by_one, pick, same_unit), right=(same_unit,),
                  forall=(k, t, *of))
    return Step(f"gradient of {weight.__name__}", total(E, weight(*of)), Sum(d_bar[gate](i, t) * term, (t, 1, T)),
                (rule, direct, pick_terms), forall=of)


# Numbers: the errors of y(t), one row for each of its units, sent back in plain NumPy. The catalogue's names: z is c, the state c is s.

ROLE, VALUE = {"z": "c", "i": "in", "f": "f", "o": "out"}, {"z": "c", "i": "y_in", "f": "y_f", "o": "y_out"}
RECEIVER = {d_x: "x", d_y: "y", d_c: "s", **{d_bar[gate]: f"net_{ROLE[gate]}" for gate in GATES}}


def sent_back(variant, receiver):
    """evaluate(values, q): d y(t) / d receiver(t-q) by the formulas above."""
    present = ["z", "f", "o"] if variant == "CIFG" else gates_of(variant)  # the catalogue has i = 1 - f: f has the net input

    def evaluate(values, q):
        n, eye = values["s"].shape[1], np.eye(values["s"].shape[1])
        later, later_state, forget_later = {gate: np.zeros((n, n)) for gate in present}, 0.0, 0.0
        recurrent = {gate: values[f"W_{ROLE[gate]}_y"] for gate in present}
        peephole = {gate: 0.0 if variant == "NP" else values[f"w_peep_{ROLE[gate]}_s"] for gate in present if gate != "z"}
        for step in range(q + 1):
            now = -1 - step
            value = {gate: values[VALUE[gate]][now] if VALUE[gate] in values else 1.0 for gate in GATES}
            state, before = values["s"][now], values["s"][now - 1]
            slope = {gate: 1 - value[gate] ** 2 if gate == "z" else value[gate] * (1 - value[gate]) for gate in GATES}
            slope["z"] = 1.0 if variant == "NIAF" else slope["z"]
            squashed, squashed_slope = (state, 1.0) if variant == "NOAF" else (np.tanh(state), 1 - np.tanh(state) ** 2)
            from_gates = {gate: sum(later[to] @ values[f"W_{ROLE[to]}_{VALUE[gate]}"] for to in "ifo") if variant == "FGR" else 0.0
                          for gate in present if gate != "z"}
            d = {"y": eye * (step == 0) + sum(later[gate] @ recurrent[gate] for gate in present)}
            found = {}
            if "o" in present:
                found["o"] = (d["y"] * squashed + from_gates["o"]) * slope["o"]
            d["s"] = d["y"] * value["o"] * squashed_slope + later_state * forget_later
            d["s"] = d["s"] + sum((found if gate == "o" else later)[gate] * peephole[gate] for gate in present if gate != "z")
            factor = {"f": before - value["z"] if variant == "CIFG" else before, "i": value["z"]}
            for gate in "fi":
                if gate in present:
                    found[gate] = (d["s"] * factor[gate] + from_gates[gate]) * slope[gate]
            found["z"] = d["s"] * value["i"] * slope["z"]
            later, later_state, forget_later = found, d["s"], value["f"]
        d |= {f"net_{ROLE[gate]}": error for gate, error in found.items()}
        d["x"] = sum(found[gate] @ values[f"W_{ROLE[gate]}_x"] for gate in present)
        return d[receiver]
    return evaluate


def check(variant, error):
    """How an error of a variant meets the code: dy(t) / d of its vector at t-q."""
    receiver = "net_f" if (variant, error) == ("CIFG", d_bar["i"]) else RECEIVER[error]
    return Check(f"lstm_{variant.lower()}", "y", receiver, False, sent_back(variant, receiver), range(0, 31, 6))


def claim(id, title, status, fact, printed=False, also=(), **more):
    """A claim of the appendix, or of a variant."""
    derived = Eq(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"Greff {id}", "", "Greff 2017", title, status, derived if printed else None, derived, Proof(*also, fact), **more)


NAMES = {d_y: "dy", d_c: "dc", d_x: "dx", **{d_bar[gate]: f"d{gate}" for gate in GATES}}
TITLES = {"vanilla": "vanilla LSTM", "NIG": "no input gate", "NFG": "no forget gate", "NOG": "no output gate",
          "NIAF": "no input activation function", "NOAF": "no output activation function", "CIFG": "coupled input and forget gate",
          "NP": "no peepholes", "FGR": "full gate recurrence"}
ERRORS = {variant: errors_of(variant) for variant in ("vanilla", *VARIANTS)}


def claims_of(variant):
    """What a variant changes; the first of its claims also proves what it leaves as in the vanilla cell."""
    same = {error: step for error, step in ERRORS[variant].items() if step.rhs == ERRORS["vanilla"][error].rhs}
    changed = [error for error in ERRORS[variant] if error not in same]
    for error in changed:
        yield claim(f"{variant} {NAMES[error]}", f"{TITLES[variant]}: error {NAMES[error]}", "exact", ERRORS[variant][error],
                    checks=[check(variant, error)], also=tuple(same.values()) if error is changed[0] else (),
                    note="Unchanged, and proved with this one: " + ", ".join(NAMES[e] for e in same) if error is changed[0] else "")


CLAIMS = [
    *(claim(f"vanilla {NAMES[error]}", f"{TITLES['vanilla']}: error {NAMES[error]}", "exact", step, True, checks=[check("vanilla", error)])
      for error, step in ERRORS["vanilla"].items()),
    *(claim(f"vanilla W_{gate}", f"gradient of the input weights of {gate}b", "exact", gradient(gate, W[gate], x(j, t), i, j), True)
      for gate in GATES),
    *(claim(f"vanilla R_{gate}", f"gradient of the recurrent weights of {gate}b", "exact", gradient(gate, R[gate], y(j, t - 1), i, j),
            note="Printed with the index moved by one, d(t+1) with y(t), and y(0) = 0.") for gate in GATES),
    *(claim(f"vanilla p_{gate}", f"gradient of the peepholes of {gate}b", "exact",
            gradient(gate, p[gate], c(i, t) if gate == "o" else c(i, t - 1), i),
            note="The output gate sees the new state, the others the old one.") for gate in "ifo"),
    *(claim(f"vanilla b_{gate}", f"gradient of the bias of {gate}b", "exact", gradient(gate, bias[gate], Integer(1), i), True)
      for gate in GATES),
    *(one for variant in VARIANTS for one in claims_of(variant)),
]
