r"""Appendix A.1: the units of a net with memory cell blocks, equations (3)-(9).

Problem. What does each unit compute? Printed:

    (3)  f(x) = 1 / (1 + exp(-x))                  gates, range [0, 1]
    (4)  h(x) = 2 / (1 + exp(-x)) - 1              cell outputs, range [-1, 1]
    (5)  g(x) = 4 / (1 + exp(-x)) - 2              cell inputs, range [-2, 2]
    (6)  net_i(t) = sum_u w_iu y^u(t-1),    y^i(t) = f_i(net_i(t))                        ordinary hidden unit i
    (7)  net_{in_j}(t) = sum_u w_{in_j u} y^u(t-1),    y^{in_j}(t) = f_{in_j}(net_{in_j}(t))
    (8)  net_{out_j}(t) = sum_u w_{out_j u} y^u(t-1),    y^{out_j}(t) = f_{out_j}(net_{out_j}(t))
    (9)  net_{c_j^v}(t) = sum_u w_{c_j^v u} y^u(t-1),    s_{c_j^v}(t) = s_{c_j^v}(t-1) + y^{in_j}(t) g(net_{c_j^v}(t)),
         y^{c_j^v}(t) = y^{out_j}(t) h(s_{c_j^v}(t))                                       cell v of block j, s(0) = 0
         net_k(t) = sum_{u no gate} w_ku y^u(t-1),    y^k(t) = f_k(net_k(t))               output unit k, no number

Setting of all pages on A.1. Units of the hidden layer are ordinary units i, gates in_j, out_j and cells c_j^v. They read
all units u = 1..n of the step before; of these u = 1..N are no gates, and those the outputs k = 1..K read. Inputs are
units too: y^u(t-1) of an input unit is what is shown to the hidden layer when it computes step t. Blocks are j = 1..C,
their sizes S_j. Upright d takes all paths, partial d is the direct derivative of one equation.

Time. By A.1 outputs read y^u(t-1), but (20)-(28) join e_k(t) with h(s(t)). Both cannot be. Reading A, the order of the
experiments: outputs read y^u(t). Reading B: the letter of A.1. (10) is derived with t-1, as it is printed, (19)-(28) by
reading A, and again by reading B on a page of its own.

Results. f' = f (1 - f), h(x) = tanh(x/2), g = 2 h, with ranges and largest slopes. Table 10 swaps the ranges of h and g.
"""

from itertools import combinations

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Le, Lt, Rational, Sum, exp

from flowcheck.claims import Claim, Given, Proof, Step, ValueCheck, below, chain, equal, indices, partial, quantity, total
from flowcheck.notation import g, h, sigma

from ._memory_cell_numbers import net_now, of_cell

i, j, k, l, m, p, u, v, x = indices("i j k l m p u v x")  # noqa: E741  (the paper's letters)
n, N, K, C = indices("n N K C")
H = sympy.Symbol("H", integer=True, nonnegative=True)
t = sympy.Symbol("t", integer=True)
tau = sympy.Symbol("tau", integer=True, positive=True)
anything = sympy.Symbol("z")


def unit(name, template):
    """Units of one kind, by their indices."""
    return quantity(name, template, integer=True, positive=True)


hidden, output = unit("hidden", "{0}"), unit("output", "{0}")
gate_in, gate_out = unit("gate_in", r"\mathrm{{in}}_{{{0}}}"), unit("gate_out", r"\mathrm{{out}}_{{{0}}}")
cell = unit("cell", "c_{{{0}}}^{{{1}}}")
in_j, out_j, c = gate_in(j), gate_out(j), cell(j, v)
size = unit("size", "S_{{{0}}}")

w = quantity("w", "w_{{{0} {1}}}")
net, net_k = (quantity(name, r"\mathrm{{net}}_{{{0}}}({1})") for name in ("net", "net_k"))  # _k: of the outputs
y, y_k = (quantity(name, "y^{{{0}}}({1})") for name in ("y", "y_k"))
s = quantity("s", "s_{{c_{{{0}}}^{{{1}}}}}({2})")
slope, slope_k = (quantity(name, r"f'_{{{0}}}(\mathrm{{net}}_{{{0}}}({1}))") for name in ("slope", "slope_k"))
squashed, squashed_k = (quantity(name, r"f_{{{0}}}(\mathrm{{net}}_{{{0}}}({1}))") for name in ("squashed", "squashed_k"))
shown = quantity("shown", "x_{{{0}}}({1})")


def by(node, weight=(l, m)):
    """d node / dw_lm, all paths."""
    return total(node, w(*weight))


def given(words, lhs, rhs, *forall, where=(), lemma=False):
    """A given for every time step t, and all values of the other symbols."""
    return Given(words, lhs, rhs, forall=(*forall, t), where=where, lemma=lemma)


# Forward pass.

eq_net = given("(6)-(9) net_l(t) = sum_u w_lu y^u(t-1)", net(x, t), Sum(w(x, u) * y(u, t - 1), (u, 1, n)), x)
eq_i = given("(6) y^i(t) = f_i(net_i(t))", y(hidden(i), t), squashed(hidden(i), t), i)
eq_in = given("(7) y^{in_j}(t) = f(net_{in_j}(t))", y(in_j, t), sigma(net(in_j, t)), j)
eq_out = given("(8) y^{out_j}(t) = f(net_{out_j}(t))", y(out_j, t), sigma(net(out_j, t)), j)
eq_start = Given("(9) s(0) = 0", s(j, v, 0), Integer(0), forall=(j, v))
eq_s = given("(9) s(t) = s(t-1) + y^{in_j}(t) g(net_{c_j^v}(t)), t > 0", s(j, v, t),
             s(j, v, t - 1) + y(in_j, t) * g(net(c, t)), j, v, where=(t > 0,))
eq_c = given("(9) y^{c_j^v}(t) = y^{out_j}(t) h(s(t))", y(c, t), y(out_j, t) * h(s(j, v, t)), j, v)
eq_net_k = given("(no number) net_k(t) = sum over units u that are no gates, of step t-1", net_k(k, t),
                 Sum(w(output(k), u) * y(u, t - 1), (u, 1, N)) + shown(k, t), k)
eq_k = given("(no number) y^k(t) = f_k(net_k(t))", y_k(k, t), squashed_k(k, t), k)
eq_net_k_now = given("reading A: net_k(t) = sum over units u that are no gates, of step t", net_k(k, t),
                     Sum(w(output(k), u) * y(u, t), (u, 1, N)) + shown(k, t), k)
different = tuple(
    Given("a unit is of one kind", KroneckerDelta(a, b), Integer(0), forall=tuple(a.free_symbols | b.free_symbols))
    for a, b in combinations((hidden(i), output(k), in_j, gate_out(l), cell(p, x)), 2))
different += (Given("cells are numbered by block", KroneckerDelta(c, cell(p, x)),
                    KroneckerDelta(j, p) * KroneckerDelta(v, x), forall=(j, v, p, x)),
              *(Given("units of a kind are numbered", KroneckerDelta(a(j), a(p)), KroneckerDelta(j, p), forall=(j, p))
                for a in (hidden, output, gate_in, gate_out)))
weights_apart = tuple(Given("weights are varied one by one", held(w(x, u), w(l, m)),
                            KroneckerDelta(x, l) * KroneckerDelta(u, m),
                            forall=(x, u, l, m)) for held in (partial, total))

# Squashing functions. e = exp(x/2).

z = sympy.Symbol("x", real=True)
e_half = sympy.Symbol("e^{x/2}", positive=True)
eq_3 = Given("(3) f(x) = 1 / (1 + exp(-x))", sigma(z), 1 / (1 + exp(-z)), forall=(z,))
eq_4 = Given("(4) h(x) = 2 / (1 + exp(-x)) - 1", h(z), 2 / (1 + exp(-z)) - 1, forall=(z,))
eq_5 = Given("(5) g(x) = 4 / (1 + exp(-x)) - 2", g(z), 4 / (1 + exp(-z)) - 2, forall=(z,))
by_hand = {f: quantity(name, rf"\frac{{{{d {name}}}}}{{{{d x}}}}({{0}})") for f, name in ((sigma, "f"), (h, "h"), (g, "g"))}
plain = {f: quantity(name, name + "({0})") for f, name in ((sigma, "f"), (h, "h"), (g, "g"))}


def slope_of(f, equation, in_value):
    """f'(x) by differentiating the formula in exp, and equal to its polynomial in f(x); knows nothing of that polynomial."""
    differentiated = Given(f"{equation.words}, differentiated", by_hand[f](z), sympy.diff(equation.rhs, z), forall=(z,))
    itself = Given(equation.words, plain[f](z), equation.rhs, forall=(z,))
    return Step(f"slope of {f.__name__}", by_hand[f](z), in_value(plain[f](z)), (differentiated,), right=(itself,))


slope_3 = slope_of(sigma, eq_3, lambda f: f * (1 - f))
slope_4 = slope_of(h, eq_4, lambda f: (1 - f ** 2) / 2)
slope_5 = slope_of(g, eq_5, lambda f: 1 - f ** 2 / 4)
in_half = (Given("(4) with e = exp(x/2)", h(z), 2 / (1 + e_half ** -2) - 1),
           Given("(5) with e = exp(x/2)", g(z), 4 / (1 + e_half ** -2) - 2))
tanh_half = Given("tanh(x/2) = (e - 1/e) / (e + 1/e), e = exp(x/2)", sympy.tanh(z / 2), (e_half - 1 / e_half) / (e_half + 1 / e_half))
as_tanh_4 = Step("h = tanh(x/2)", h(z), sympy.tanh(z / 2), in_half, right=(tanh_half,))
as_tanh_5 = Step("g = 2 tanh(x/2)", g(z), 2 * sympy.tanh(z / 2), in_half, right=(tanh_half,))
ranges = {(number, side): Step(f"({number}), {words}", sign * f(z), bound, (equation,), "<")
          for number, f, equation, low, high in ((3, sigma, eq_3, 0, 1), (4, h, eq_4, -1, 1), (5, g, eq_5, -2, 2))
          for side, words, sign, bound in (("above", "from above", 1, Integer(high)), ("below", "from below", -1, Integer(-low)))}
steepest = {number: chain(f"slope of ({number})", f.slope(z), equal("in its value", f.polynomial(z)), below("a square is left", bound))
            for number, f, bound in ((4, h, Rational(1, 2)), (5, g, Integer(1)))}

# Numbers: what each unit computes, cell lstm1997; (6) by the fully recurrent net.


def logistic(net):
    """(3)"""
    return 1 / (1 + np.exp(-net))


def cell_input(values):
    """(5), of net_c(t)"""
    return 4 / (1 + np.exp(-net_now(values, "c"))) - 2


def state(values):
    """(9)"""
    return values["s"][-2] + of_cell(values, logistic(net_now(values, "in"))) * cell_input(values)


def output_of_cell(values):
    """(9), with (4)"""
    return of_cell(values, logistic(net_now(values, "out"))) * (2 / (1 + np.exp(-state(values))) - 1)


def ordinary_unit(values):
    """(6)"""
    return logistic(values["W_x"] @ values["x"][-1] + values["W_y"] @ values["y"][-2] + values["b"])


def forward(vector, evaluate, cell="lstm1997"):
    """A check of the forward pass."""
    return ValueCheck(cell, vector, evaluate)


def claim(number, title, status, fact, name="", printed=True, **more):
    """A claim of A.1; the journal counts two less than the preprint. `printed`: the right side, True if as derived."""
    derived = {"=": Eq, "<=": Le, "<": Lt}[fact.relation](fact.lhs, fact.rhs, evaluate=False)
    as_printed = derived if printed is True else None if printed is None else type(derived)(fact.lhs, printed, evaluate=False)
    return Claim(f"{number} {name}".strip(), f"A.{number - 2}", "A.1", title, status, as_printed, derived, Proof(fact),
                 **more)


CLAIMS = [
    claim(3, "logistic function", "definition", eq_3, checks=[forward("y_in", lambda values: logistic(net_now(values, "in")))]),
    claim(3, "its slope", "exact", slope_3, "slope", printed=None, note="The relation by which every proof rewrites f'."),
    claim(3, "range [0, 1]: above", "inequality", ranges[3, "above"], "range, above"),
    claim(3, "range [0, 1]: below", "inequality", ranges[3, "below"], "range, below"),
    claim(4, "output squashing function", "definition", eq_4, checks=[forward("y", output_of_cell)]),
    claim(4, "its slope", "exact", slope_4, "slope", printed=None),
    claim(4, "as tanh", "exact", as_tanh_4, "tanh", printed=None),
    claim(4, "range [-1, 1]: above", "inequality", ranges[4, "above"], "range, above"),
    claim(4, "range [-1, 1]: below", "inequality", ranges[4, "below"], "range, below",
          note="The caption of Table 10 gives [-2, 2] for h and [-1, 1] for g; (4), (5) and all experiments have it the other way."),
    claim(4, "largest slope", "inequality", steepest[4], "largest slope", printed=None),
    claim(5, "input squashing function", "definition", eq_5, checks=[forward("s", state)]),
    claim(5, "its slope", "exact", slope_5, "slope", printed=None),
    claim(5, "as tanh", "exact", as_tanh_5, "tanh", printed=None),
    claim(5, "range [-2, 2]: above", "inequality", ranges[5, "above"], "range, above"),
    claim(5, "range [-2, 2]: below", "inequality", ranges[5, "below"], "range, below"),
    claim(5, "largest slope", "inequality", steepest[5], "largest slope", printed=None),
    claim(6, "activation of an ordinary hidden unit", "definition", eq_i, checks=[forward("y", ordinary_unit, "conventional")]),
    claim(6, "net input", "definition", eq_net, "net input", note="One formula for (6) to (9), l any unit of the hidden layer.",
          checks=[forward(f"net_{role}", lambda values, role=role: net_now(values, role)) for role in ("in", "out", "c")]),
    claim(7, "activation of an input gate", "definition", eq_in, checks=[forward("y_in", lambda values: logistic(net_now(values, "in")))]),
    claim(8, "activation of an output gate", "definition", eq_out,
          checks=[forward("y_out", lambda values: logistic(net_now(values, "out")))]),
    claim(9, "state of a cell", "definition", eq_s, checks=[forward("s", state)]),
    claim(9, "state before the first step", "definition", eq_start, "start"),
    claim(9, "output of a cell", "definition", eq_c, "output", checks=[forward("y", output_of_cell)]),
    claim(9, "net input of an output unit", "definition", eq_net_k, "outputs, net input",
          note="Printed without a number. Reading A has y^u(t) for y^u(t-1)."),
    claim(9, "activation of an output unit", "definition", eq_k, "outputs"),
]
