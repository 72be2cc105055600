r"""Section 3.1: why backpropagated error decays or blows up exponentially in the number of steps.

Problem. In a fully recurrent net with units 1..n an error occurs at unit u at time t and travels back q steps to unit
v. How is it scaled? The error signal of BPTT at a unit that is no output unit is (3.1, no number)

    vartheta_j(t) = f'_j(net_j(t)) sum_i w_ij vartheta_i(t+1),        w_ij: weight FROM j TO i,

where the forward pass is y^i(t) = f_i(net_i(t)), net_i(t) = sum_j w_ij y^j(t-1) + what inputs and biases add. These
additions do not depend on y and drop out of every derivative. The printed formulas:

    (1)  d vartheta_v(t-q) / d vartheta_u(t) = f'_v(net_v(t-1)) w_uv                                          q = 1
                                             = f'_v(net_v(t-q)) sum_l d vartheta_l(t-q+1)/d vartheta_u(t) w_lv    q > 1
    (2)  = sum_{l_1} ... sum_{l_{q-1}} prod_{m=1}^q f'_{l_m}(net_{l_m}(t-m)) w_{l_m l_{m-1}},  l_0 = u, l_q = v
         = (W_{u^T})^T F'(t-1) prod_{m=2}^{q-1} (W F'(t-m)) W_v f'_v(net_v(t-q))                               q > 1
         <= n (f'_max ||W||_A)^q in absolute value.

Assumptions. Slopes f' are functions of the forward pass, which stays what it is; u and v lie in 1..n; f' >= 0, as for
every squashing function here. Number of units n and lag q are symbols throughout.

Results. (1) and the matrix form are right. (2) needs w_{l_{m-1} l_m}. The factor n of the bound is superfluous.
"""

import itertools

import numpy as np
import sympy
from sympy import Abs, Eq, KroneckerDelta, Lambda, Le, Lt, Product, Rational, Sum, coth, oo

from flowcheck.claims import (
    HYPOTHESIS,
    Cases,
    Check,
    Claim,
    Counterexample,
    Differentiate,
    Given,
    Induction,
    MatrixEntry,
    MatrixRows,
    PathSum,
    Proof,
    Step,
    below,
    chain,
    equal,
    indices,
    lag,
    last_factor,
    last_index,
    partial,
    pick,
    quantity,
    strictly_below,
    triangle,
)
from flowcheck.notation import ROUTINES, sigma

u, v, i, j, k, n = indices("u v i j k n")
q, m = lag("q m")
w = quantity("w", "w_{{{0} {1}}}")
slope = quantity("slope", r"f'_{{{0}}}(\mathrm{{net}}_{{{0}}}({1:t}))", nonnegative=True)
vartheta = quantity("vartheta", r"\vartheta_{{{0}}}({1:t})")


def flow(v, q):
    """d vartheta_v(t-q) / d vartheta_u(t)"""
    return partial(vartheta(v, q), vartheta(u, 0))


# (1) from the definition of BPTT.

bptt = Given("BPTT: vartheta_j(t-m) = f'_j(net_j(t-m)) sum_i w_ij vartheta_i(t-m+1)",
             vartheta(j, m), slope(j, m) * Sum(w(i, j) * vartheta(i, m - 1), (i, 1, n)), forall=(j, m), where=(m >= 1,))
injected = Given("the errors injected at time t are independent of each other", flow(i, 0), KroneckerDelta(i, u), forall=(i,))
backwards = Differentiate(bptt, (vartheta,))

first_step = Step("(1) for q = 1", flow(v, 1), slope(v, 1) * w(u, v), (backwards, injected, pick), forall=(v,))
further_step = Step("(1) for q > 1", flow(v, q), slope(v, q) * Sum(flow(j, q - 1) * w(j, v), (j, 1, n)), (backwards,),
                    forall=(v, q), where=(q > 1,))
recursion = sympy.Piecewise((slope(v, 1) * w(u, v), Eq(q, 1)), (further_step.rhs, q > 1))
eq_1 = Eq(flow(v, q), recursion, evaluate=False)
proof_1 = Proof(first_step, further_step, Cases("(1)", eq_1.lhs, eq_1.rhs, (first_step, further_step)))

# (2): sum over all paths, by induction over q.

a, b = indices("a b")  # l_{m-1} and l_m
printed_paths = PathSum(Lambda((a, b, m), slope(b, m) * w(b, a)), u, v, q, n)
paths = PathSum(Lambda((a, b, m), slope(b, m) * w(a, b)), u, v, q, n)
eq_2_printed, eq_2 = Eq(flow(v, q), printed_paths), Eq(flow(v, q), paths)

path_sum = Induction(
    "(2), corrected", eq_2.lhs, eq_2.rhs, q, forall=(v, q),
    base=Step("a path of one step", flow(v, q), paths, (first_step,), right=(last_index,)),
    step=chain(
        "one step more", flow(v, q),
        equal("(1)", further_step.rhs, further_step),
        equal("(2) at q-1, for every unit l_{q-1} = j", slope(v, q) * Sum(
            paths.subs({v: j, q: q - 1}, simultaneous=True) * w(j, v), (j, 1, n)), HYPOTHESIS),
        equal("the sum over l_{q-1} taken back in", paths, right=[last_index])))


def two_units(relation):
    """Both sides at q = 1, u = 1, v = 2 for w_12 = 2, w_21 = 3 and slope 1/4; the flow is f'_v w_uv by (1)."""
    here = {u: 1, v: 2, q: 1}
    numbers = {w(1, 2): 2, w(2, 1): 3, slope(2, 1): Rational(1, 4)}
    left = first_step.rhs.subs(here).subs(numbers)
    return Eq(left, last_index.rewrite(relation.rhs.subs(here)).subs(numbers))


# The matrix form, q > 1: its entries before the last factor are the flow over q-1 steps.

W, row_u, column_v = sympy.Symbol("W", commutative=False), quantity("row", r"(W_{{u^T}})^T", False)(u), quantity(
    "column", "W_{{{0}}}", False)(v)
slopes = quantity("F", "F'({0:t})", False)
in_entries = MatrixRows(
    dense={W: lambda i, j: w(i, j)}, diagonal={slopes: lambda j, m: slope(j, m)}, row={row_u: lambda j: w(u, j)},
    column={column_v: lambda i: w(i, v)}, n=n)
inner_factors = (row_u, slopes(1), Product(W * slopes(m), (m, 2, q - 1)))
matrix_form = MatrixEntry((*inner_factors, column_v, slope(v, q)))

row_of_flows = Induction(
    "[(W_{u^T})^T F'(t-1) prod_{m=2}^{q-1} (W F'(t-m))]_k = flow from u to k over q-1 steps",
    MatrixEntry(inner_factors, k), flow(k, q - 1), q, start=2, forall=(k, q),
    base=Step("no factor in the product", MatrixEntry(inner_factors, k), flow(k, q - 1), (last_factor, in_entries),
              right=(first_step,)),
    step=Step("one factor W F'(t-q+1) more", MatrixEntry(inner_factors, k), flow(k, q - 1),
              (last_factor, in_entries, HYPOTHESIS),
              right=(further_step,)))
matrix_is_flow = Cases(
    "the matrix form is the flow", flow(v, q), sympy.Piecewise((matrix_form, q > 1)),
    (Step("times W_v f'_v", flow(v, q), matrix_form, (further_step,), right=(in_entries, row_of_flows)),))

# Largest factor per step: |f' w|, logistic units.

z, y = sympy.symbols(r"\mathrm{net} y", real=True)
net = quantity("net", r"\mathrm{{net}}_{{{0}}}({1:t})")
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

unit = quantity("l", "l_{{{0}}}", integer=True, positive=True)
along_path = Product(slope(unit(m), m) * w(unit(m - 1), unit(m)), (m, 1, q))
regrouped = w(unit(0), unit(1)) * Product(slope(unit(m), m) * w(unit(m), unit(m + 1)), (m, 1, q - 1)) * slope(unit(q), q)
regrouping = Induction(
    "the factors of one path regrouped", along_path, regrouped, q,
    base=Step("q = 1", along_path, regrouped, (last_factor, last_factor), right=(last_factor,)),
    step=Step("one factor more on both sides", along_path, regrouped, (last_factor, HYPOTHESIS), right=(last_factor,)))

# Bounds, in the norms of the worked example: ||W||_A the largest row sum, ||x||_x the largest |x_i|.

f_max = sympy.Symbol("f'_{max}", positive=True)
norm = sympy.Symbol(r"\|W\|_{A}", positive=True)
norm_column, norm_row = sympy.symbols(r"\|W_{v}\|_{x} \|W_{u^T}\|_{x}", nonnegative=True)
tau, w_max = sympy.symbols("tau w_{max}", positive=True)
largest_slope = Given("f'_max is the largest slope on the way", slope(j, m), f_max, forall=(j, m), relation="<=")
row_sum = Given("||W||_A is the largest row sum of |W|", Sum(Abs(w(i, j)), (j, 1, n)), norm, forall=(i,), relation="<=")
in_column = Given("||W_v||_x is the largest |w_iv|", Abs(w(i, v)), norm_column, forall=(i,), relation="<=")
in_row = Given("||W_{u^T}||_x is the largest |w_ui|", Abs(w(u, i)), norm_row, forall=(i,), relation="<=")
in_matrix = Given("w_max is the largest |w_ij|", Abs(w(i, j)), w_max, forall=(i, j), relation="<=")
row_of_n = Step("n entries of at most ||W_{u^T}||_x", Sum(Abs(w(u, j)), (j, 1, n)), n * norm_row, (in_row,), "<=")
tau_is = Given("tau = n w_max / 4", w_max, 4 * tau / n)
row_of_tau = Step("n entries of at most w_max", Sum(Abs(w(i, j)), (j, 1, n)), 4 * tau, (in_matrix, tau_is), "<=", (i,))
one_term = Given("one term of a sum of nonnegative terms is at most the sum", Abs(flow(v, q)),
                 Sum(Abs(flow(k, q)), (k, 1, n)), forall=(v, q), relation="<=", lemma=True)


def spread(q):
    """sum_k |d vartheta_k(t-q) / d vartheta_u(t)|: what one error at u brings to all units q steps back."""
    return Sum(Abs(flow(k, q)), (k, 1, n))


def spread_bound(slopes, rows, first_row):
    """sum_k |flow| <= slopes first_row (slopes rows)^{q-1}, where slopes bound f' and rows the row sums of |W|."""
    claimed = slopes.rhs * first_row.rhs * (slopes.rhs * rows.rhs) ** (q - 1)
    before = Abs(flow(j, q - 1))
    return Induction(
        "the flow summed over all units", spread(q), claimed, q, relation="<=", forall=(q,),
        base=chain(
            "one step", spread(q),
            equal("(1)", Sum(slope(k, q) * Abs(w(u, k)), (k, 1, n)), first_step),
            below("the slopes", slopes.rhs * Sum(Abs(w(u, k)), (k, 1, n)), slopes),
            below("row u", claimed, first_row)),
        step=chain(
            "one step more", spread(q),
            equal("(1)", Sum(slope(k, q) * Abs(Sum(flow(j, q - 1) * w(j, k), (j, 1, n))), (k, 1, n)), further_step),
            below("terms may cancel", Sum(slope(k, q) * Sum(before * Abs(w(j, k)), (j, 1, n)), (k, 1, n)), triangle),
            below("the slopes", slopes.rhs * Sum(before * Sum(Abs(w(j, k)), (k, 1, n)), (j, 1, n)), slopes),
            below("the row sums", slopes.rhs * rows.rhs * spread(q - 1), rows),
            below("the bound at q-1", claimed, HYPOTHESIS)))


def flow_bound(words, rhs, total):
    """|flow| <= sum of |flow| <= the bound of the sum <= rhs."""
    return chain(words, Abs(flow(v, q)), below("one of n terms", spread(q), one_term), below("by induction", total.rhs, total),
                 below("n >= 1", rhs), where=(q >= 1,))


by_norm = spread_bound(largest_slope, row_sum, row_sum)
sharp = flow_bound("bound without n", (f_max * norm) ** q, by_norm)
weak = flow_bound("bound with n", n * (f_max * norm) ** q, by_norm)
by_w_max = spread_bound(quarter, row_of_tau, row_of_tau)
by_tau_sharp = flow_bound("bound by tau without n", tau ** q, by_w_max)
by_tau = flow_bound("bound by tau", n * tau ** q, by_w_max)

by_rows = spread_bound(largest_slope, row_sum, row_of_n)
refined = n * f_max ** q * norm_column * norm_row * norm ** (q - 2)
refined_bound = chain(
    "bound by the norms of W_v and W_{u^T}, q > 1", Abs(flow(v, q)),
    equal("(1)", slope(v, q) * Abs(Sum(flow(j, q - 1) * w(j, v), (j, 1, n))), further_step),
    below("terms may cancel", slope(v, q) * Sum(Abs(flow(j, q - 1)) * Abs(w(j, v)), (j, 1, n)), triangle),
    below("column v", slope(v, q) * norm_column * spread(q - 1), in_column),
    below("the slope at v", f_max * norm_column * spread(q - 1), largest_slope),
    below("by induction", refined, by_rows), where=(q > 1,))

# ||W_{u^T}||_x <= ||W||_A: holds for the norms of the worked example, not for every compatible pair.

x = sympy.Symbol("x")
row_norm, matrix_norm = quantity("row_norm", r"\|W_{{u^T}}\|_{{{0}}}"), quantity("matrix_norm", r"\|W\|_{{{0}}}")
is_an_entry = Given("the largest |w_ui| is one of them, |w_uk|", row_norm(oo), Abs(w(u, k)))
row_sums = Given("||W||_oo is the largest row sum", Sum(Abs(w(i, j)), (j, 1, n)), matrix_norm(oo), forall=(i,), relation="<=")
one_entry = Given("one term of a sum of nonnegative terms is at most the sum", Abs(w(u, k)), Sum(Abs(w(u, j)), (j, 1, n)),
                  relation="<=", lemma=True)
row_below_matrix = chain("||W_{u^T}||_oo <= ||W||_oo", row_norm(oo), equal("largest entry", Abs(w(u, k)), is_an_entry),
                         below("row u", Sum(Abs(w(u, j)), (j, 1, n)), one_entry), below("rows", matrix_norm(oo), row_sums))


def one_norm(relation):
    """W = [[1, 1], [0, 0]], u = 1; where the norm is left open, the 1-norm with the largest column sum."""
    matrix = sympy.Matrix([[1, 1], [0, 0]])
    numbers = {row_norm(1): matrix.row(0).norm(1), matrix_norm(1): matrix.norm(1),
               row_norm(oo): matrix.row(0).norm(oo), matrix_norm(oo): matrix.norm(oo)}
    return relation.subs({x: 1, sympy.Symbol("A"): 1}).subs(numbers)


# Numbers: d net_u(t) / d net_v(t-q) [u, v], three times, each from its own formula.


def f_prime(values, m):
    """[f'_1(net_1(t-m)), ..., f'_n(net_n(t-m))], logistic units."""
    return ROUTINES["sigma_prime"](values["net"][-1 - m])


def flow_by_paths(values, q):
    """(2), corrected: the sum over all n^{q-1} paths, one by one."""
    W = values["W_y"]
    units = range(len(W))
    slopes = [None] + [f_prime(values, m) for m in range(1, q + 1)]
    return np.array([[sum(
        np.prod([slopes[m][path[m]] * W[path[m - 1], path[m]] for m in range(1, q + 1)])
        for path in ((start, *between, end) for between in itertools.product(units, repeat=q - 1)))
        for end in units] for start in units])


def flow_by_recursion(values, q):
    """(1): from q = 1 up."""
    W = values["W_y"]
    flows = f_prime(values, 1) * W
    for lags in range(2, q + 1):
        flows = np.einsum("v,ul,lv->uv", f_prime(values, lags), flows, W)
    return flows


def flow_by_matrices(values, q):
    """(W_{u^T})^T F'(t-1) [prod_{m=2}^{q-1} W F'(t-m)] W_v f'_v(net_v(t-q)), the product from its right end."""
    W = values["W_y"]
    right = W * f_prime(values, q)
    for m in range(q - 1, 1, -1):
        right = W @ np.diag(f_prime(values, m)) @ right
    return W @ np.diag(f_prime(values, 1)) @ right


def log10_bound(values, q):
    """log10 (f'_max ||W||_A)^q, f'_max over the steps t-1 ... t-q."""
    largest = max(f_prime(values, m).max() for m in range(1, q + 1))
    return q * np.log10(largest * np.abs(values["W_y"]).sum(axis=1).max())


def log10_tau_bound(values, q):
    """log10 tau^q, tau = n w_max / 4."""
    W = np.abs(values["W_y"])
    return q * np.log10(len(W) * W.max() / 4)


def with_n(log10_of_bound):
    """log10 of n times the bound."""
    return lambda values, q: np.log10(len(values["W_y"])) + log10_of_bound(values, q)


def check(evaluate, lags, relation="="):
    """A check of the fully recurrent net: net input to net input, full gradient."""
    return Check("conventional", "net", "net", False, evaluate, lags, relation)


def claim(id, title, status, printed, derived, *facts, journal="", **more):
    """A claim of section 3.1."""
    return Claim(id, journal, "3.1", title, status, printed, derived, Proof(*facts), **more)


def le(fact):
    """The inequality that a fact states."""
    return (Lt if fact.relation == "<" else Le)(fact.lhs, fact.rhs, evaluate=False)


eq_matrix = Eq(flow(v, q), matrix_is_flow.rhs)
eq_coth = Eq(w_star, coth_condition.rhs)
eq_regrouped = Eq(along_path, regrouped)
any_norm, largest_norm = Le(row_norm(x), matrix_norm(sympy.Symbol("A"))), le(row_below_matrix)

CLAIMS = [
    claim("1", "error flow from u to v", "exact", eq_1, eq_1, *proof_1.facts, journal="3.1",
          checks=[check(flow_by_recursion, range(1, 101))]),
    claim("2", "sum over all paths", "erratum", eq_2_printed, eq_2, path_sum, journal="3.2",
          counterexample=Counterexample("one step, u = 1, v = 2: w_vu is not w_uv", two_units),
          note="Printed w_{l_m l_{m-1}}; (1) gives w_{l_{m-1} l_m}. Already for q = 1 the printed form has w_vu where (1) "
               "has w_uv. The paper's own matrix form has the right order.",
          checks=[check(flow_by_paths, range(1, 5))]),
    claim("3.1 matrix form", "rewritten as a matrix product, q > 1", "exact", eq_matrix, eq_matrix, matrix_is_flow,
          checks=[check(flow_by_matrices, range(2, 101))]),
    claim("3.1 largest slope", "maximal value of f' is 0.25", "inequality", le(quarter), le(quarter), quarter),
    claim("3.1 small weights", "less than 1.0 for |w| < 4.0", "inequality", le(below_one), le(below_one), below_one),
    claim("3.1 largest factor", "maximal where w = coth(net/2) / y", "exact", eq_coth, eq_coth, coth_condition,
          note="True of a weight INTO the unit whose slope it meets. In the corrected (2) that is w_{l_m l_{m+1}}, after "
               "regrouping as in '3.1 regrouping'; the activation is y^{l_{m+1}}(t-m-1)."),
    claim("3.1 regrouping", "each slope beside a weight into its unit", "exact", None, eq_regrouped, regrouping),
    claim("3.1 bound by row and column", "upper bound by the norms of W_v and W_{u^T}, q > 1", "inequality",
          le(refined_bound), le(refined_bound), refined_bound),
    claim("3.1 norm of a row", "||W_{u^T}||_x <= ||W||_A", "erratum", any_norm, largest_norm, row_below_matrix,
          counterexample=Counterexample("1-norm and largest column sum, W = [[1, 1], [0, 0]]: 2 <= 1", one_norm),
          note="Printed for any compatible pair of norms; false for the 1-norm. True for the largest entry with the largest "
               "row sum, which the worked example uses; the final bound does not depend on it."),
    claim("3.1 bound", "weak upper bound", "inequality", le(weak), le(weak), weak,
          checks=[check(with_n(log10_bound), range(1, 101), "<=")]),
    claim("3.1 bound without n", "the factor n is superfluous", "inequality", None, le(sharp), sharp,
          checks=[check(log10_bound, range(1, 101), "<=")]),
    claim("3.1 tau", "exponential decay, tau = n w_max / 4.0", "inequality", le(by_tau), le(by_tau), by_tau,
          note="All |w_ij| < 4.0 / n make tau < 1.",
          checks=[check(with_n(log10_tau_bound), range(1, 101), "<=")]),
    claim("3.1 tau without n", "the factor n is superfluous", "inequality", None, le(by_tau_sharp), by_tau_sharp,
          checks=[check(log10_tau_bound, range(1, 101), "<=")]),
]
