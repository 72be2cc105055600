r"""Williams & Zipser 1989, real-time recurrent learning (RTRL): the gradient carried forward, and what it costs.

Problem. A fully connected net of units k = 1..n with inputs x_1..x_m,

    s_k(t) = sum_{l=1}^n w_kl y_l(t) + sum_{l=1}^m v_kl x_l(t),      y_k(t+1) = f_k(s_k(t)).

What does each unit owe to each weight, without looking back? Printed (section 2), with p^k_ij(t) = dy_k(t)/dw_ij and z_j
the unit or the input that w_ij comes from,

    p^k_ij(t+1) = f'_k(s_k(t)) [ sum_l w_kl p^l_ij(t) + delta_ik z_j(t) ],      p^k_ij(t_0) = 0
    -dE(t)/dw_ij = sum_k e_k(t) p^k_ij(t),      e_k(t) = -dE(t)/dy_k(t).

Here v_kl are the weights from inputs, a class of their own, and t_0 = 0.

Results, for every n, m and t. The recursion holds. In closed form p^k_ij(t) sums, over all earlier steps tau, the flow
dy_k(t)/dy_i(tau) times what w_ij did at tau: so RTRL and BPTT compute the same gradient, and what vanishes in one vanishes
in the other. A step of RTRL takes n^2 (n+m)(n+1) multiplications for n^2 (n+m) numbers kept: O(n^4) and O(n^3) where m is
at most of the order of n, against O(n^2) a step for BPTT, which keeps the whole sequence.
"""

import sympy
from sympy import Eq, Integer, KroneckerDelta, Le, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Claim,
    Differentiate,
    Given,
    Induction,
    Proof,
    Step,
    chain,
    equal,
    indices,
    last_term,
    pick_terms,
    quantity,
    same_unit,
    total,
)

i, j, k, a, b, n, m, tau = indices("i j k a b n m tau")
t, r = sympy.symbols("t r", integer=True)
w, v = quantity("w", "w_{{{0} {1}}}"), quantity("v", "v_{{{0} {1}}}")
s, y, x = quantity("s", "s_{{{0}}}({1})"), quantity("y", "y_{{{0}}}({1})"), quantity("x", "x_{{{0}}}({1})")
slope = quantity("slope", "f'_{{{0}}}(s_{{{0}}}({1}))")
E, e, theta = quantity("E", "E({0})"), quantity("e", "e_{{{0}}}({1})"), quantity("theta", r"\vartheta_{{{0}}}({1},{2})")
anything = sympy.Symbol("z")

# Forward pass, and its derivative with respect to anything.

eq_s = Given("s_k(t) = sum_l w_kl y_l(t) + sum_l v_kl x_l(t)", s(k, t),
             Sum(w(k, a) * y(a, t), (a, 1, n)) + Sum(v(k, a) * x(a, t), (a, 1, m)), forall=(k, t))
of_y = Given("y_k(t+1) = f_k(s_k(t)), by the chain rule", total(y(k, t), anything), slope(k, t - 1) * total(s(k, t - 1), anything),
             forall=(k, t, anything))
apart = tuple(Given("weights are varied one by one", total(weight(a, b), weight(i, j)), KroneckerDelta(a, i) * KroneckerDelta(b, j),
                    forall=(a, b, i, j)) for weight in (w, v))
classes = (Given("weights are varied one by one", total(w(a, b), v(i, j)), Integer(0), forall=(a, b, i, j)),
           Given("weights are varied one by one", total(v(a, b), w(i, j)), Integer(0), forall=(a, b, i, j)),
           *(Given("inputs are given", total(x(a, t), weight(i, j)), Integer(0), forall=(a, t, i, j)) for weight in (w, v)))
through_s = (Differentiate(eq_s, (w, v, y, x)), *apart, *classes, pick_terms)


def p(k, t, weight=w):
    """p^k_ij(t) = dy_k(t)/dw_ij"""
    return total(y(k, t), weight(i, j))


def recursion(words, weight, source):
    """p^k_ij(t+1) for one class of weights."""
    return Step(words, p(k, t + 1, weight),
                slope(k, t) * (Sum(w(k, a) * p(a, t, weight), (a, 1, n)) + KroneckerDelta(k, i) * source(j, t)),
                (of_y, *through_s), forall=(k, i, j, t))


of_units = recursion("weights from units", w, y)
of_inputs = recursion("weights from inputs", v, x)

# Closed form: the flow from y_i(tau) to y_k(t), times what the weight did when y_i(tau) was computed.


def flow(k, t, i, tau):
    """dy_k(t) / dy_i(tau)"""
    return total(y(k, t), y(i, tau))


itself = Given("activations of one step are varied one by one", flow(k, t, i, t), KroneckerDelta(k, i), forall=(k, t, i))
given = (Given("weights do not depend on activations", total(w(a, b), y(i, tau)), Integer(0), forall=(a, b, i, tau)),
         Given("weights do not depend on activations", total(v(a, b), y(i, tau)), Integer(0), forall=(a, b, i, tau)),
         Given("inputs are given", total(x(a, t), y(i, tau)), Integer(0), forall=(a, t, i, tau)))
flow_back = (of_y, Differentiate(eq_s, (w, v, y, x)), *given)
start = Given("p^k_ij(0) = 0", p(k, 0), Integer(0), forall=(k, i, j))
closed = Sum(flow(k, t, i, tau) * slope(i, tau - 1) * y(j, tau - 1), (tau, 1, t))
over_time = Induction(
    "p^k_ij(t) in closed form", p(k, t), closed, t, start=0, forall=(k, i, j, t),
    base=Step("nothing learned yet", p(k, t), closed, (start,), right=(last_term,)),
    step=Step("one step more", p(k, t), closed, (of_units, HYPOTHESIS, same_unit), right=(last_term, itself, *flow_back, same_unit)))

# RTRL is BPTT: theta_i(tau, t) is the error of E(t) at s_i(tau), as backpropagation through time brings it there.

of_E = Given("chain rule: E(t) reads the units of step t", total(E(t), anything), -Sum(e(k, t) * total(y(k, t), anything), (k, 1, n)),
             forall=(t, anything), lemma=True)
bptt = Given("BPTT: vartheta_i(tau, t) = f'_i(s_i(tau)) sum_k e_k(t) dy_k(t)/dy_i(tau+1)", theta(i, r, t),
             slope(i, r) * Sum(e(k, t) * flow(k, t, i, r + 1), (k, 1, n)), forall=(i, r, t))
gradient = -total(E(t), w(i, j))
rtrl = Sum(e(k, t) * p(k, t), (k, 1, n))
of_rtrl = Step("RTRL", gradient, rtrl, (of_E,))
equals_bptt = chain(
    "RTRL is BPTT", gradient, equal("RTRL", rtrl, of_E),
    equal("BPTT", Sum(theta(i, tau - 1, t) * y(j, tau - 1), (tau, 1, t)), over_time,
          right=(bptt,)), where=(t >= 0,))

# The count: one step of RTRL, every product of two numbers counted once.

units, weights = (k, 1, n), ((i, 1, n), (j, 1, n + m))
counts = tuple(quantity(name, rf"\mathrm{{{{{name}}}}}", integer=True, nonnegative=True)() for name in ("products", "storage"))
products, storage = counts
per_value = Given("of one p^k_ij: n products w_kl p^l_ij, one with f'_k", products, Sum(Sum(Sum(n + 1, units), weights[0]), weights[1]))
kept = Given("one number for each unit and each weight", storage, Sum(Sum(Sum(Integer(1), units), weights[0]), weights[1]))
count = Step("products per step", products, n ** 2 * (n + m) * (n + 1), (per_value,))
count_kept = Step("numbers kept", storage, n ** 3 + n ** 2 * m, (kept,))
few = Given("at most as many inputs as units", m, n, relation="<=")
one_more = Given("n >= 1: n = 1 + n'", n, 1 + sympy.Symbol("n'", integer=True, nonnegative=True))
from_above = Step("at most 4 n^4", products, 4 * n ** 4, (count, few, one_more), "<=", right=(one_more,))
from_below = Step("more than n^4", n ** 4, products, (), "<", right=(count,))


def claim(id, title, status, fact, printed=False, **more):
    """A claim of the publication, or a finding."""
    kind = {"=": Eq, "<=": Le, "<": sympy.Lt}[fact.relation]
    derived = kind(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"RTRL {id}", "", "Williams 1989", title, status, derived if printed else None, derived, Proof(fact), **more)


CLAIMS = [
    claim("recursion", "sensitivities carried forward, weights from units", "exact", of_units, True),
    claim("inputs", "sensitivities carried forward, weights from inputs", "exact", of_inputs, True),
    claim("gradient", "the gradient from the sensitivities", "exact", of_rtrl, True),
    claim("closed form", "sensitivities as flow times what the weight did", "exact", over_time,
          note="The same flow that (2) of section 3.1 bounds: where it vanishes, RTRL forgets as BPTT does."),
    claim("is BPTT", "RTRL and BPTT compute the same gradient", "exact", equals_bptt),
    claim("products", "products per step", "exact", count,
          note="n^2 (n+m) sensitivities, n+1 products each; each step of each is counted once, sums are not."),
    claim("storage", "numbers kept from step to step", "exact", count_kept),
    claim("O(n^4)", "at most 4 n^4 products for m <= n", "inequality", from_above),
    claim("Omega(n^4)", "more than n^4 products", "inequality", from_below,
          note="With 'RTRL O(n^4)': of the order of n^4, for any number of inputs up to n."),
]
