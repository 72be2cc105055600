r"""Section 4: what a memory cell stores, how its output is bounded, and how its state drifts.

Problem. By the forward pass of section 4 (no numbers)

    s_{c_j}(0) = 0,    s_{c_j}(t) = s_{c_j}(t-1) + y^{in_j}(t) g(net_{c_j}(t)) for t > 0,
    y^{c_j}(t) = y^{out_j}(t) h(s_{c_j}(t)).

What is s_{c_j}(t) after t steps? What does one-signed input, "internal state drift", do to h'(s_{c_j}(t)), the factor
by which every error that enters the cell is scaled, (41)? The paper says in words that h' gets tiny; here the rate.

Assumption of drift. Each step brings at least delta > 0: y^{in_j}(t) g(net_{c_j}(t)) = delta + a rest that is >= 0. For
inputs of the other sign, put -s for s: h is odd, h' is even.

Results. s_{c_j}(t) is the plain sum of the gated inputs; |y^{c_j}(t)| < y^{out_j}(t). Under drift s_{c_j}(t) >= t delta
and h'(s_{c_j}(t)) <= 2 exp(-t delta): the carousel keeps error unscaled for any lag, its entry closes exponentially.
"""

import sympy
from sympy import Eq, Integer, Le, Lt, Sum, exp

from flowcheck.claims import (
    HYPOTHESIS,
    Claim,
    Given,
    Induction,
    Proof,
    Step,
    below,
    chain,
    equal,
    lag,
    last_term,
    quantity,
)
from flowcheck.notation import g, h, sigma

t = lag("t")
tau = sympy.Symbol("tau", integer=True, positive=True)
x = sympy.Symbol("x", real=True)
delta = sympy.Symbol("delta", positive=True)
net_c = quantity("net_c", r"\mathrm{{net}}_{{c_j}}({0})")
net_out = quantity("net_out", r"\mathrm{{net}}_{{\mathrm{{out}}_j}}({0})")
y_in, y_out = quantity("y_in", r"y^{{\mathrm{{in}}_j}}({0})"), quantity("y_out", r"y^{{\mathrm{{out}}_j}}({0})")
y_c, s = quantity("y_c", "y^{{c_j}}({0})"), quantity("s", "s_{{c_j}}({0})")
rest = quantity("rest", r"\varepsilon({0})", nonnegative=True)

eq_start = Given("s(0) = 0", s(0), Integer(0))
eq_s = Given("s(t) = s(t-1) + y^{in_j}(t) g(net_{c_j}(t)), t > 0", s(t), s(t - 1) + y_in(t) * g(net_c(t)), forall=(t,),
             where=(t >= 1,))
eq_c = Given("y^{c_j}(t) = y^{out_j}(t) h(s(t))", y_c(t), y_out(t) * h(s(t)), forall=(t,))
eq_out = Given("y^{out_j}(t) = f(net_{out_j}(t))", y_out(t), sigma(net_out(t)), forall=(t,))

# The state as a sum.

inputs = Sum(y_in(tau) * g(net_c(tau)), (tau, 1, t))
sum_of_inputs = Induction(
    "s(t) is the sum of the gated inputs", s(t), inputs, t, start=0, forall=(t,),
    base=Step("no input yet", s(t), inputs, (eq_start,), right=(last_term,)),
    step=Step("one input more", s(t), inputs, (eq_s, HYPOTHESIS), right=(last_term,)))

# The output.

logistic = Given("(3) f(x) = 1 / (1 + exp(-x))", sigma(x), 1 / (1 + exp(-x)), forall=(x,))
squashed = Given("(4) h(x) = 2 / (1 + exp(-x)) - 1", h(x), 2 / (1 + exp(-x)) - 1, forall=(x,))
in_exp = (eq_c, eq_out, logistic, squashed)
from_above = Step("y^{out} (1 - h(s)) > 0", y_c(t), y_out(t), in_exp, "<", right=(eq_out, logistic))
from_below = Step("y^{out} (1 + h(s)) > 0", -y_c(t), y_out(t), in_exp, "<", right=(eq_out, logistic))

# h'(x) <= 2 exp(-|x|).

in_h = (1 - h(x) ** 2) / 2
right_tail = chain("h'(x) <= 2 exp(-x)", h.slope(x), equal("h' = (1 - h^2) / 2", in_h),
                   below("(4)", 2 * exp(-x), squashed),
                   forall=(x,))
left_tail = chain("h'(x) <= 2 exp(x)", h.slope(x), equal("h' = (1 - h^2) / 2", in_h),
                  below("(4)", 2 * exp(x), squashed),
                  forall=(x,))

# Drift.

one_signed = Given("drift: y^{in_j}(t) g(net_{c_j}(t)) = delta + a rest >= 0", y_in(t) * g(net_c(t)), delta + rest(t),
                   forall=(t,))
drifted = t * delta + Sum(rest(tau), (tau, 1, t))
drift = Induction(
    "s(t) = t delta + the rests", s(t), drifted, t, start=0, forall=(t,),
    base=Step("at the start", s(t), drifted, (eq_start,), right=(last_term,)),
    step=Step("one step more", s(t), drifted, (eq_s, HYPOTHESIS, one_signed), right=(last_term,)))
at_least = Step("the rests are not negative", t * delta, s(t), (), "<=", right=(drift,))
exp_grows = Given("exp(-a - b) <= exp(-a) for b >= 0", exp(-drifted), exp(-t * delta), forall=(t,), relation="<=",
                  lemma=True)
entry_closes = chain(
    "drift closes the entry", h.slope(s(t)),
    below("tail of h'", 2 * exp(-s(t)), right_tail),
    equal("the state", 2 * exp(-drifted), drift),
    below("the rests left out", 2 * exp(-t * delta), exp_grows))


def claim(id, title, status, fact, printed=False, note=""):
    """A claim of section 4."""
    derived = {"=": Eq, "<=": Le, "<": Lt}[fact.relation](fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"4 {id}", "", "4", title, status, derived if printed else None, derived, Proof(fact), note=note)


CLAIMS = [
    claim("sum of inputs", "the state is the sum of the gated inputs", "exact", sum_of_inputs),
    claim("output from above", "y^{c_j} is less than y^{out_j}", "inequality", from_above),
    claim("output from below", "-y^{c_j} is less than y^{out_j}", "inequality", from_below,
          note="With '4 output from above': |y^{c_j}(t)| < y^{out_j}(t), whatever is stored."),
    claim("tail of h'", "h' decays exponentially to the right", "inequality", right_tail),
    claim("left tail of h'", "h' decays exponentially to the left", "inequality", left_tail,
          note="With \"4 tail of h'\": h'(x) <= 2 exp(-|x|)."),
    claim("drift", "internal state drift", "inequality", at_least,
          note="Input of one sign that brings at least delta > 0 per step."),
    claim("drift closes the entry", "under drift h'(s) vanishes exponentially", "inequality", entry_closes,
          note="h'(s_{c_j}(t)) scales every error on its way into the cell, (41). The remedy of the paper, a negative "
               "bias of the input gate, makes delta small."),
]
