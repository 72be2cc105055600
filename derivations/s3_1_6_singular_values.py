r"""Beside section 3.1: the bound in singular values (Pascanu, Mikolov & Bengio 2013), and why eigenvalues do not do.

Problem. For x_t = W_rec sigma(x_{t-1}) + W_in u_t + b, |sigma'| <= gamma, the paper "On the difficulty of training
recurrent neural networks" (arXiv 1211.5063) prints

    (5)  dx_t/dx_k = prod_{t >= i > k} W_rec^T diag(sigma'(x_{i-1}))
    (6)  ||dx_{k+1}/dx_k|| <= ||W_rec^T|| ||diag(sigma'(x_k))|| <= (1/gamma) gamma = 1
    (7)  ||dE_t/dx_t  dx_t/dx_k|| <= (||W_rec|| gamma)^{t-k} ||dE_t/dx_t||

and says that lambda_1 < 1/gamma is sufficient for vanishing, lambda_1 > 1/gamma necessary for explosion, with lambda_1
"the largest eigenvalue" of W_rec. For which lambda_1 is that so?

Assumptions. ||.|| is the 2-norm, so ||W|| is the largest singular value and the norm of a diagonal matrix its largest
entry. gamma = 1 for tanh, 1/4 for logistic units.

Results. True of the largest singular value. False of the largest eigenvalue: for a W_rec with spectral radius 0 and tanh
units the flow doubles at every step. (5) has a transpose too many.
"""

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Le, Rational, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Check,
    Claim,
    Counterexample,
    Differentiate,
    Given,
    Induction,
    Proof,
    Step,
    below,
    chain,
    partial,
    pick_terms,
    quantity,
)

from .s3_1_1_error_signals import i, j, le, m, n, q, stated, w

gamma, largest_singular = sympy.symbols(r"gamma \sigma_{max}", positive=True)
spectral_radius, deficit = sympy.symbols("rho delta", nonnegative=True)
k = sympy.Symbol("k", integer=True)

# (5): one step, entry by entry.

x, other = quantity("x", "x_{{{0}}}({1})"), quantity("other", "b_{{{0}}}({1})")
squashed = quantity("squashed", r"\sigma(x_{{{0}}}({1}))")
slope = quantity("slope", r"\sigma'(x_{{{0}}}({1}))", nonnegative=True)
eq_x = Given("x_i(t) = sum_j w_ij sigma(x_j(t-1)) + what inputs and biases add", x(i, k),
             Sum(w(i, j) * squashed(j, k - 1), (j, 1, n)) + other(i, k), forall=(i, k))
of_sigma = Given("sigma is applied unit by unit", partial(squashed(i, k), x(j, k)), KroneckerDelta(i, j) * slope(j, k), forall=(i, j, k))
one_step = Step("row i, column j of dx(t)/dx(t-1)", partial(x(i, k), x(j, k - 1)), w(i, j) * slope(j, k - 1),
                (Differentiate(eq_x, (squashed,)), of_sigma, pick_terms))


def two_weights(relation):
    """W = [[0, 2], [3, 0]], i = 1, j = 2, slope 1."""
    return relation.subs({partial(x(i, k), x(j, k - 1)): 2, slope(j, k - 1): 1}).subs({i: 1, j: 2}).subs({w(1, 2): 2, w(2, 1): 3})


# (6), (7): q steps.

step_norm = quantity("step_norm", r"\|\partial x({0}) / \partial x({0}-1)\|", nonnegative=True)
flow_norm = quantity("flow_norm", r"\|\partial x({0}) / \partial x(0)\|", nonnegative=True)
slopes_norm = quantity("slopes_norm", r"\|\mathrm{{diag}}\, \sigma'(x({0}-1))\|", nonnegative=True)
factors = Given("the norm of a product is at most the product of the norms", step_norm(m), largest_singular * slopes_norm(m),
                forall=(m,), relation="<=", lemma=True)
diagonal = Given("the 2-norm of a diagonal matrix is its largest entry, at most gamma", slopes_norm(m), gamma, forall=(m,),
                 relation="<=")
eq_6 = chain("(6)", step_norm(m), below("W and the slopes", largest_singular * slopes_norm(m), factors),
             below("the slopes", largest_singular * gamma, diagonal), forall=(m,))
start = Given("no step: the identity", flow_norm(0), Integer(1))
one_more = Given("chain rule, and the norm of a product", flow_norm(q), step_norm(q) * flow_norm(q - 1), forall=(q,),
                 where=(q >= 1,), relation="<=", lemma=True)
bound = (largest_singular * gamma) ** q
eq_7 = Induction(
    "(7)", flow_norm(q), bound, q, start=0, forall=(q,), relation="<=",
    base=Step("no step", flow_norm(q), bound, (start,), "<="),
    step=chain("one step more", flow_norm(q), below("chain rule", step_norm(q) * flow_norm(q - 1), one_more),
               below("(6)", largest_singular * gamma * flow_norm(q - 1), eq_6), below("by induction", bound, HYPOTHESIS)))
sigma_small = Given("sigma_max <= 1/gamma: sigma_max = (1 - delta) / gamma with delta >= 0", largest_singular, (1 - deficit) / gamma)
at_most_one = Induction(
    "no explosion", flow_norm(q), Integer(1), q, start=0, forall=(q,), relation="<=",
    base=Step("no step", flow_norm(q), Integer(1), (start,), "<="),
    step=chain("one step more", flow_norm(q), below("chain rule", step_norm(q) * flow_norm(q - 1), one_more),
               below("(6)", largest_singular * gamma * flow_norm(q - 1), eq_6),
               below("sigma_max gamma <= 1", flow_norm(q - 1), sigma_small), below("by induction", Integer(1), HYPOTHESIS)))

# Eigenvalues. W^2 = 0, tanh, x* = (0, artanh 1/2) held fixed by the bias: J = W diag(1, 3/4).

W = sympy.Matrix([[8, 8], [-8, -8]])
fixed_point = (Integer(0), sympy.atanh(Rational(1, 2)))
J = W * sympy.diag(*(1 - sympy.tanh(a) ** 2 for a in fixed_point))


def nilpotent(relation):
    """q = 2: W has only the eigenvalue 0, and J^2 = 2 J has the norm 2 sqrt(200)."""
    radius = max(abs(a) for a in W.eigenvals())
    singular = max(W.singular_values())
    norm = max((J ** 2).singular_values())
    return relation.subs({q: 2}).subs({flow_norm(2): norm, spectral_radius: radius, largest_singular: singular, gamma: 1})


moved = quantity("moved", r"\delta_{{{0}}}({1})")  # a small change of the state, from (1, -1)
rows = [Given(f"the Jacobian at the fixed point, row {row + 1}", moved(row + 1, q),
              sum(J[row, column] * moved(column + 1, q - 1) for column in (0, 1)), forall=(q,), where=(q >= 1,)) for row in (0, 1)]
starts = [Given("a change in the direction (1, -1)", moved(row + 1, 0), sign) for row, sign in ((0, Integer(1)), (1, Integer(-1)))]
both = quantity("both", r"(\delta_1 + \delta_2)({0})")
their_sum = Given("the sum of the two", both(q), moved(1, q) + moved(2, q), forall=(q,))
one_from_other = Given("one from the sum", moved(2, q), both(q) - moved(1, q), forall=(q,))
opposite = Induction(
    "the direction stays", both(q), Integer(0), q, start=0, forall=(q,),
    base=Step("at the start", both(q), Integer(0), (their_sum, *starts)),
    step=Step("one step more", both(q), Integer(0), (their_sum, *rows)))
doubled = Induction(
    "the flow doubles", moved(1, q), 2 ** q, q, start=0, forall=(q,),
    base=Step("at the start", moved(1, q), 2 ** q, starts),
    step=Step("one step more", moved(1, q), 2 ** q, (
        rows[0], one_from_other, opposite, HYPOTHESIS)))


def log10_singular_bound(values, q):
    """log10 (sigma_max gamma)^q for tanh units, gamma = 1."""
    return q * np.log10(np.linalg.norm(values["W_y"], 2))


def claim(id, title, status, printed, derived, *facts, **more):
    """A claim beside section 3.1."""
    return Claim(f"3.1 singular values, {id}", "", "3.1", title, status, printed, derived, Proof(*facts), **more)


CLAIMS = [
    claim("(5)", "one step of the state", "erratum", Eq(one_step.lhs, w(j, i) * slope(j, k - 1)), stated(one_step), one_step,
          counterexample=Counterexample("W = [[0, 2], [3, 0]]: w_12 = 2, printed w_21 = 3", two_weights),
          note="Equation (5) of Pascanu et al.: printed with W_rec^T."),
    claim("(6)", "norm of one step", "inequality", le(eq_6), le(eq_6), eq_6),
    claim("(7)", "norm over q steps: largest singular value below 1/gamma is sufficient for vanishing", "inequality", le(eq_7), le(eq_7),
          eq_7, checks=[Check("tanh", "net", "net", False, log10_singular_bound, range(1, 101), "<=")]),
    claim("necessary", "without a singular value above 1/gamma nothing explodes", "inequality", le(at_most_one), le(at_most_one),
          at_most_one, note="So explosion needs sigma_max > 1/gamma."),
    claim("eigenvalue form", "largest eigenvalue in place of the singular value", "erratum",
          Le(flow_norm(q), (spectral_radius * gamma) ** q),
          le(eq_7), eq_7,
          counterexample=Counterexample("W = [[8, 8], [-8, -8]], tanh, q = 2: 28.28 <= 0 is false, 28.28 <= 256 true", nilpotent),
          note="Printed with lambda_1, the largest eigenvalue. For linear units that is right in the limit of many steps; for "
               "others it is not."),
    claim("nilpotent", "spectral radius 0, yet the flow doubles at every step", "exact", None, stated(doubled), doubled,
          note="W^2 = 0, so all eigenvalues are 0; at the fixed point (0, artanh 1/2) of tanh units J^2 = 2 J."),
]
