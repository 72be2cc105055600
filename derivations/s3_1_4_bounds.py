r"""Section 3.1: bounds of the error flow in the norms of the worked example, with and without the factor n.

Problem. How fast does (2) decay? Printed, for a matrix norm ||.||_A compatible with a vector norm ||.||_x:

    |d vartheta_v(t-q) / d vartheta_u(t)| <= n (f'_max)^q ||W_v||_x ||W_{u^T}||_x ||W||_A^{q-2} <= n (f'_max ||W||_A)^q      q > 1
    and with |w_ij| <= w_max < 4.0/n, tau = n w_max / 4.0 < 1.0, logistic units:   <= n tau^q.

Here ||W||_A is the largest row sum of |w_ij|, ||x||_x the largest |x_i|, as in the paper's example; what holds for other
norms is on the next page. The error flow summed over all output units, "global error flow", vanishes too.

Results. All hold, and the factor n is superfluous: the flow summed over all n receiving units already obeys
(f'_max ||W||_A)^q. In terms of w_max alone one more factor is lost: the flow is at most tau^q / n, n^2 below the printed
bound, and equal to it where all weights and slopes are equal.
"""

from dataclasses import replace

import numpy as np
import sympy
from sympy import Abs, Integer, Lambda, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Claim,
    Given,
    Induction,
    PathSum,
    Proof,
    Step,
    below,
    chain,
    equal,
    last_index,
    triangle,
)

from .s3_1_1_error_signals import (
    K,
    check,
    first_step,
    flow,
    further_step,
    i,
    j,
    k,
    largest_slope_of,
    le,
    m,
    n,
    q,
    slope,
    stated,
    u,
    v,
    w,
)
from .s3_1_2_error_flow import a, b
from .s3_1_3_logistic_units import quarter

f_max = sympy.Symbol("{f'_{max}}", positive=True)
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


below_4 = Given("all |w_ij| <= w_max < 4.0 / n", w_max, 4 / n, relation="<")
tau_below_1 = Step("tau < 1.0", tau, Integer(1), (Given("tau = n w_max / 4", tau, n * w_max / 4), below_4), "<")

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

# In terms of w_max alone: one entry of W where a whole row was taken.

one_entry = Step("one entry of at most w_max", Abs(w(j, v)), 4 * tau / n, (in_matrix, tau_is), "<=", (j,))
tightest = chain(
    "bound by tau, without n twice, q > 1", Abs(flow(v, q)),
    equal("(1)", slope(v, q) * Abs(Sum(flow(j, q - 1) * w(j, v), (j, 1, n))), further_step),
    below("terms may cancel", slope(v, q) * Sum(Abs(flow(j, q - 1)) * Abs(w(j, v)), (j, 1, n)), triangle),
    below("column v", slope(v, q) * 4 * tau / n * spread(q - 1), one_entry),
    below("f' <= 1/4", tau / n * spread(q - 1), quarter),
    below("by induction", tau ** q / n, by_w_max), where=(q > 1,))
equal_paths = PathSum(Lambda((a, b, m), tau / n), u, v, q, n)
all_equal = Induction(
    "all w_ij = 4 tau / n, all slopes 1/4", equal_paths, tau ** q / n, q, forall=(v, q),
    base=Step("one path", equal_paths, tau ** q / n, (last_index,)),
    step=Step("n ways for one step more", equal_paths, tau ** q / n, (last_index, HYPOTHESIS)))

# Global error flow: the sum over all output units u = 1..K.

for_every_u = replace(by_tau_sharp, forall=(u, v, q))
of_all_outputs = Sum(flow(v, q), (u, 1, K))
global_flow = chain(
    "global error flow", Abs(of_all_outputs), below("terms may cancel", Sum(Abs(flow(v, q)), (u, 1, K)), triangle),
    below("each vanishes", K * tau ** q, for_every_u), where=(q >= 1,))

# Numbers: log10 of the bounds.


def log10_bound(values, q):
    """log10 (f'_max ||W||_A)^q, f'_max over the steps t-1 ... t-q."""
    return q * np.log10(largest_slope_of(values, q) * np.abs(values["W_y"]).sum(axis=1).max())


def log10_tau_bound(values, q):
    """log10 tau^q, tau = n w_max / 4."""
    W = np.abs(values["W_y"])
    return q * np.log10(len(W) * W.max() / 4)


def with_n(log10_of_bound):
    """log10 of n times the bound."""
    return lambda values, q: np.log10(len(values["W_y"])) + log10_of_bound(values, q)


def log10_tightest_bound(values, q):
    """log10 tau^q / n."""
    return log10_tau_bound(values, q) - np.log10(len(values["W_y"]))


def log10_refined_bound(values, q):
    """log10 n f'_max^q ||W_v|| ||W_{u^T}|| ||W||^{q-2} for the pair (u, v) of the largest flow: no entry of W exceeds its norm."""
    W = np.abs(values["W_y"])
    return np.log10(len(W)) + q * np.log10(largest_slope_of(values, q)) + 2 * np.log10(W.max()) + (q - 2) * np.log10(W.sum(axis=1).max())


def claim(id, title, fact, printed=True, evaluate=None, lags=range(1, 101), note=""):
    """An inequality of section 3.1."""
    relation = le(fact)
    return Claim(f"3.1 {id}", "", "3.1", title, "inequality", relation if printed else None, relation, Proof(fact), note=note,
                 checks=[check(evaluate, lags, "<=")] if evaluate else ())


CLAIMS = [
    claim("bound by row and column", "upper bound by the norms of W_v and W_{u^T}, q > 1", refined_bound,
          evaluate=log10_refined_bound, lags=range(2, 101)),
    claim("bound", "weak upper bound", weak, evaluate=with_n(log10_bound)),
    claim("bound without n", "the factor n is superfluous", sharp, False, log10_bound),
    claim("row sum", "||W||_A <= n w_max = 4.0 tau: every row", row_of_tau),
    claim("tau below 1", "tau < 1.0 for w_max < 4.0 / n", tau_below_1),
    claim("tau", "exponential decay, tau = n w_max / 4.0", by_tau, evaluate=with_n(log10_tau_bound),
          note="All |w_ij| < 4.0 / n make tau < 1."),
    claim("tau without n", "the factor n is superfluous", by_tau_sharp, False, log10_tau_bound),
    claim("tau over n", "and so is one more: q > 1", tightest, False, log10_tightest_bound, range(2, 101),
          note="For q = 1 too: |f' w| <= w_max / 4 = tau / n."),
    Claim("3.1 tau over n reached", "", "3.1", "all weights equal, all slopes 1/4", "exact", None, stated(all_equal), Proof(all_equal),
          note="So tau^q / n is the best bound in w_max and n alone."),
    claim("global error flow", "the flow from all output units together", global_flow, False,
          note="Printed in words: a finite sum of vanishing terms vanishes."),
]
