r"""Section 3.1: how large one factor |f' w| of the error flow gets with logistic units.

Problem. By (2) each step back multiplies the error by f'_{l_m}(net_{l_m}(t-m)) w. Where is this factor largest, and
when is it below 1.0? Printed, without numbers, for logistic f:

    the maximal value of f' is 0.25, so |f' w| < 1.0 for |w| < 4.0;
    for constant nonzero y, |f'(net) w| is maximal where w = (1/y) coth(net/2), and goes to 0 as |w| grows;
    a larger learning rate does not change the ratio of long- to short-range error flow.

Assumptions. net = w y + b: the weight w brings the activation y, all else is b. The sentences hold for a weight INTO the
unit whose slope it meets; the w_{l_{m-1} l_m} of (2) leads OUT of l_m, so (2) has to be regrouped first.

Results. All hold, after regrouping; with (2) as it stands the factor has no maximum. With b = 0 the largest factor is
x* f'(x*) / |y|, where x* tanh(x*/2) = 1: above 1.0 only if |y| < 0.2239.
"""

import sympy
from sympy import Abs, Eq, Integer, Product, Rational, coth, exp

from flowcheck.claims import (
    HYPOTHESIS,
    Claim,
    Counterexample,
    Given,
    Induction,
    OnInterval,
    Proof,
    Step,
    below,
    chain,
    equal,
    last_factor,
    quantity,
    strictly_below,
)
from flowcheck.notation import in_terms_of_value, sigma

from .s3_1_1_error_signals import change, i, j, l, le, m, net, q, slope, stated, update, vartheta, w
from .s3_1_1_error_signals import y as y_of

z, y = sympy.symbols(r"\mathrm{net} y", real=True)
logistic = Given("logistic units", slope(j, m), sigma.slope(net(j, m)), forall=(j, m))
quarter = Step("f' = f (1 - f) <= 1/4, as 1/4 - f (1 - f) = (1/2 - f)^2", slope(j, m), Rational(1, 4), (logistic,), "<=", (j, m))
small_weight = Given("|w_ij| < 4", Abs(w(i, j)), sympy.Integer(4), forall=(i, j), relation="<")
below_one = chain("|f' w| < 1", Abs(slope(j, m) * w(i, j)), equal("f' >= 0", slope(j, m) * Abs(w(i, j))),
                  below("f' <= 1/4", Abs(w(i, j)) / 4, quarter), strictly_below("|w| < 4", sympy.Integer(1), small_weight))

weight = sympy.Symbol("w", real=True)
rest = sympy.Symbol("b", real=True)  # what else enters net = w y + b
slope_of_product = sympy.diff(sigma.slope(weight * y + rest) * weight, weight).subs(rest, z - weight * y)
w_star = quantity("w_star", "w")(y, z)
stationary = Given("d/dw [f'(w y + b) w] = 0, which is linear in w at a given net = w y + b", w_star,
                   sympy.solve(slope_of_product, weight)[0])
coth_condition = Step("-f'/(f'' y) = coth(net/2) / y", w_star, coth(z / 2) / y, (stationary,))


# Which weight: with the weight INTO the unit the factor is stationary at one value, with a weight OUT of it nowhere.

out = sympy.Symbol("w_{out}", positive=True)
by_out = quantity("by_out", r"\frac{{\partial}}{{\partial w_{{out}}}} \left[f'({0}) w_{{out}}\right]")(z)
literal = Given("net_{l_m} does not hold w_{l_{m-1} l_m}, which leads out of l_m", by_out, sympy.diff(sigma.slope(z) * out, out))
nowhere = Step("linear in the weight", by_out, sigma.slope(z), (literal,))


def at_net_zero(relation):
    """net = 0: f'(0) = 1/4 is not 0."""
    slope_at_0 = sympy.diff(sigma.as_exp(z), z).subs(z, 0)
    return Eq(slope_at_0, in_terms_of_value(relation.rhs).subs(sigma(z), Rational(1, 2)))


unit = quantity("l", "l_{{{0}}}", integer=True, positive=True)
along_path = Product(slope(unit(m), m) * w(unit(m - 1), unit(m)), (m, 1, q))
regrouped = w(unit(0), unit(1)) * Product(slope(unit(m), m) * w(unit(m), unit(m + 1)), (m, 1, q - 1)) * slope(unit(q), q)
regrouping = Induction(
    "the factors of one path regrouped", along_path, regrouped, q,
    base=Step("q = 1", along_path, regrouped, (last_factor, last_factor), right=(last_factor,)),
    step=Step("one factor more on both sides", along_path, regrouped, (last_factor, HYPOTHESIS), right=(last_factor,)))

# Large weights, w y > 0: f'(net) <= exp(-net), and exp(x) >= x^2 / 2.

strong, active = sympy.symbols("w y", positive=True)
in_exp = Given("(3) f(x) = 1 / (1 + exp(-x))", sigma(z), 1 / (1 + exp(-z)), forall=(z,))
tail = chain("f'(x) <= exp(-x)", sigma.slope(z), equal("f' = f (1 - f)", sigma(z) * (1 - sigma(z))), below("(3)", exp(-z), in_exp),
             forall=(z,))
power_below = Given("exp(x) >= x^2 / 2 for x = w y > 0", exp(-strong * active - rest), 2 * exp(-rest) / (strong * active) ** 2,
                    relation="<=", lemma=True)
large_weight = chain(
    "|f' w| for large w", strong * sigma.slope(strong * active + rest),
    below("f'(x) <= exp(-x)", strong * exp(-strong * active - rest), tail),
    below("exp grows faster than any power", 2 * exp(-rest) / (strong * active ** 2), power_below))

# No other input, b = 0: x f'(x) with x = w y, largest where x tanh(x/2) = 1.

x = sympy.Symbol("x", real=True)
largest, where_largest = Rational(2238716024, 10**10), Rational(15434046384, 10**10)
product_bound = OnInterval("x f'(x) on [0, 9]", x * sigma.slope(x), largest, x, 0, 9)
beyond = 9 + sympy.Symbol("r", positive=True)
square_below = Given("exp(x) >= x^2 / 2 for x > 0", exp(-beyond), 2 / beyond ** 2, relation="<=", lemma=True)
far = chain("x f'(x) beyond 9", beyond * sigma.slope(beyond), below("f'(x) <= exp(-x)", beyond * exp(-beyond), tail),
            below("exp grows faster than x^2", 2 / beyond, square_below), strictly_below("x > 9", largest))
reached = OnInterval("x f'(x) at x = 1.5434046384", largest - Rational(2, 10**10), x * sigma.slope(x), x, where_largest, where_largest)
stationary_point = OnInterval("x tanh(x/2) on both sides of x*", (x * (2 * sigma(x) - 1) - 1) ** 2,
                              Rational(1, 10**18), x, where_largest, where_largest + Rational(1, 10**10))

# The learning rate.

ratio = Step("alpha drops out", change(j, l, q) / change(j, l, 0),
             vartheta(j, q) * y_of(l, q + 1) / (vartheta(j, 0) * y_of(l, 1)), (update,))

# f'(0)

half = Given("(3) f(0) = 1/2", sigma(Integer(0)), Rational(1, 2))
attained = chain("f'(0)", sigma.slope(Integer(0)), equal("f' = f (1 - f)", sigma(Integer(0)) * (1 - sigma(Integer(0)))),
                 equal("f(0) = 1/2", Rational(1, 4), half))


def claim(id, title, status, printed, derived, *facts, **more):
    """A claim of section 3.1."""
    return Claim(f"3.1 {id}", "", "3.1", title, status, printed, derived, Proof(*facts), **more)


eq_coth = Eq(w_star, coth_condition.rhs)
eq_regrouped = Eq(along_path, regrouped)

CLAIMS = [
    claim("largest slope", "maximal value of f' is 0.25", "inequality", le(quarter), le(quarter), quarter),
    claim("largest slope attained", "f' is 0.25 at net = 0", "exact", stated(attained), stated(attained), attained),
    claim("small weights", "less than 1.0 for |w| < 4.0", "inequality", le(below_one), le(below_one), below_one),
    claim("largest factor", "maximal where w = coth(net/2) / y", "exact", eq_coth, eq_coth, coth_condition,
          note="True of a weight INTO the unit whose slope it meets. In the corrected (2) that is w_{l_m l_{m+1}}, after "
               "regrouping as in '3.1 regrouping'; the activation is y^{l_{m+1}}(t-m-1)."),
    claim("largest factor in (2)", "the factor of (2) as it stands has no maximum", "erratum", Eq(by_out, 0), stated(nowhere), nowhere,
          counterexample=Counterexample("net = 0: the derivative is 1/4", at_net_zero),
          note="Printed for |f'_{l_m} w_{l_m l_{m-1}}|. In the right order of indices, f'_{l_m} w_{l_{m-1} l_m}, the weight does not "
               "enter net_{l_m}(t-m), and the factor grows with |w| without end."),
    claim("regrouping", "each slope beside a weight into its unit", "exact", None, eq_regrouped, regrouping),
    claim("large weights", "the factor goes to 0 as the weight grows", "inequality", None, le(large_weight), large_weight,
          note="Printed in words, without the rate 1/w. For w < 0 put -w, -b: f' is even."),
    claim("one connection", "largest factor where nothing else enters: x = w y up to 9", "inequality", None, le(product_bound),
          product_bound, note="|f'(w y) w| = x f'(x) / |y| with x = |w y|: at most 0.2238716024 / |y|, so above 1.0 only if |y| < 0.2239."),
    claim("one connection, beyond", "largest factor where nothing else enters: x > 9", "inequality", None, le(far), far),
    claim("one connection, reached", "that largest factor is nearly reached", "inequality", None, le(reached), reached,
          note="At x = 1.5434046384. So the maximum lies in [0.2238716022, 0.2238716024]."),
    claim("one connection, where", "stationary where x tanh(x/2) = 1", "inequality", None, le(stationary_point), stationary_point,
          note="The coth condition with net = w y. It holds to 1e-9 for x from 1.5434046384 to 1.5434046385."),
    claim("learning rate", "a larger learning rate does not change the ratio of long- to short-range flow", "exact", stated(ratio),
          stated(ratio), ratio),
]
