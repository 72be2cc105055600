r"""Section 3.1: for which norms each step of the bound holds.

Problem. The bound n (f'_max ||W||_A)^q is stated for every matrix norm ||.||_A that is compatible with a vector norm
||.||_x, ||A x||_x <= ||A||_A ||x||_x, and max_i |x_i| <= ||x||_x. Its steps, as printed (e_k a unit vector):

    |x^T y| <= n ||x||_x ||y||_x
    |f'_v(net_v(t-q))| <= ||F'(t-q)||_A <= f'_max
    ||W_v||_x = ||W e_v||_x <= ||W||_A ||e_v||_x <= ||W||_A
    ||W_{u^T}||_x = ||e_u W||_x <= ||W||_A ||e_u||_x <= ||W||_A

Which hold for every such pair? What is left of the bound where one does not?

Assumptions. The two of the paper. ||AB||_A <= ||A||_A ||B||_A, as for every induced norm.

Results. The first two hold always. The third needs ||e_v||_x = 1, which the assumptions do not give: they give >= 1. The
fourth holds for the largest row sum with the largest entry, not for the 1-norm. The bound itself, even without n, holds
for every pair with ||e_v||_x = 1, as the flow is an entry of M e_v with M a product of q matrices W and q matrices F'.
"""

import numpy as np
import sympy
from sympy import Abs, Integer, Le, Sum, oo

from flowcheck.claims import (
    HYPOTHESIS,
    Claim,
    Counterexample,
    Given,
    Induction,
    Proof,
    Step,
    below,
    chain,
    equal,
    quantity,
    triangle,
)

from .s3_1_1_error_signals import check, flow, i, j, k, largest_slope_of, le, m, n, q, u, v, w
from .s3_1_4_bounds import f_max

x, A = sympy.symbols("x A")
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
    return relation.subs({x: 1, A: 1}).subs(numbers)

# |x^T y| <= n ||x|| ||y||

first, second = quantity("first", "x_{{{0}}}"), quantity("second", "y_{{{0}}}")
size_first, size_second = sympy.symbols(r"\|x\|_{x} \|y\|_{x}", nonnegative=True)
largest_first, largest_second = (Given("max_i |x_i| <= ||x||_x", Abs(entry(i)), size, forall=(i,), relation="<=")
                                 for entry, size in ((first, size_first), (second, size_second)))
dot = Sum(first(i) * second(i), (i, 1, n))
dot_bound = chain("|x^T y|", Abs(dot), below("terms may cancel", Sum(Abs(first(i)) * Abs(second(i)), (i, 1, n)), triangle),
                  below("the first factor", size_first * Sum(Abs(second(i)), (i, 1, n)), largest_first),
                  below("the second, n times", n * size_first * size_second, largest_second))

# |f'_v| <= ||F'||_A: F' e_v = f'_v e_v.

slope_v, size_e, size_F = sympy.Symbol("f'_{v}", nonnegative=True), sympy.Symbol(r"\|e_{v}\|_{x}", positive=True), sympy.Symbol(
    r"\|F'\|_{A}", nonnegative=True)
size_Fe = quantity("size_Fe", r"\|F' e_{{v}}\|_{{x}}")()
is_scaled = Given("F' is diagonal: F' e_v = f'_v e_v", size_Fe, slope_v * size_e)
compatible_F = Given("compatible norms: ||F' e_v|| <= ||F'|| ||e_v||", size_Fe, size_F * size_e, relation="<=")
slope_bound = chain("a slope is no larger than the norm", slope_v, equal("times ||e_v|| > 0", size_Fe / size_e, right=(is_scaled,)),
                    below("compatible norms", size_F, compatible_F))

# ||W_v||_x = ||W e_v||_x <= ||W||_A ||e_v||_x

size_W = sympy.Symbol(r"\|W\|_{A}", positive=True)
column_norm, size_We = quantity("column_norm", r"\|W_{{v}}\|_{{x}}")(), quantity("size_We", r"\|W e_{{v}}\|_{{x}}")()
is_column = Given("W e_v = W_v", column_norm, size_We)
compatible_W = Given("compatible norms: ||W e_v|| <= ||W|| ||e_v||", size_We, size_W * size_e, relation="<=")
column_bound = chain("||W_v||_x", column_norm, equal("a column", size_We, is_column),
                     below("compatible norms", size_W * size_e, compatible_W))


def twice_the_largest_entry(relation):
    """||x||_x = 2 max |x_i|, W = I: ||W||_A = 1 is compatible, ||W_v||_x = 2 = ||e_v||_x."""
    return relation.subs({column_norm: 2, size_W: 1, size_e: 2})


# The bound without n: the flow is an entry of x_q = W F'(t-1) W F'(t-2) ... W F'(t-q) e_v, x_0 = e_v.

entry, size_x = quantity("entry", r"[x_{{{1}}}]_{{{0}}}"), quantity("size_x", r"\|x_{{{0}}}\|_{{x}}", nonnegative=True)
from_the_right = Given("the matrix form multiplied out from its right end (matrix products are associative)", flow(v, q), entry(u, q),
                       forall=(v, q), where=(q >= 1,), lemma=True)
entry_below = Given("max_i |x_i| <= ||x||_x", Abs(entry(i, m)), size_x(m), forall=(i, m), relation="<=")
unit_norm = Given("||e_v||_x = 1", size_x(0), Integer(1))
one_more = Given("compatible norms, and f'_max the largest ||F'||_A: ||W F' x|| <= ||W|| f'_max ||x||", size_x(m),
                 size_W * f_max * size_x(m - 1), forall=(m,), where=(m >= 1,), relation="<=")
product_norm = Induction(
    "||x_q||_x", size_x(q), (f_max * size_W) ** q, q, start=0, forall=(q,), relation="<=",
    base=Step("e_v", size_x(q), (f_max * size_W) ** q, (unit_norm,), "<="),
    step=Step("one W F' more", size_x(q), (f_max * size_W) ** q, (one_more, HYPOTHESIS), "<="))
for_any_norm = chain("bound for any compatible norms", Abs(flow(v, q)), equal("an entry of x_q", Abs(entry(u, q)), from_the_right),
                     below("an entry", size_x(q), entry_below), below("by induction", (f_max * size_W) ** q, product_norm),
                     where=(q >= 1,))


def log10_bound_in(norm):
    """log10 (f'_max ||W||)^q in a norm of NumPy: 2, inf or 1; in all three the norm of a diagonal matrix is its largest entry."""
    def evaluate(values, q):
        return q * np.log10(largest_slope_of(values, q) * np.linalg.norm(values["W_y"], norm))
    return evaluate


def claim(id, title, status, printed, derived, *facts, **more):
    """A claim of section 3.1."""
    return Claim(f"3.1 {id}", "", "3.1", title, status, printed, derived, Proof(*facts), **more)


any_norm = Le(row_norm(x), matrix_norm(A))

CLAIMS = [
    claim("scalar product", "|x^T y| is at most n times the norms", "inequality", le(dot_bound), le(dot_bound), dot_bound),
    claim("norm of slopes", "|f'_v| <= ||F'||_A", "inequality", le(slope_bound), le(slope_bound), slope_bound,
          note="For every compatible pair of norms, whatever ||e_v||_x."),
    claim("norm of a column", "||W_v||_x <= ||W||_A", "erratum", Le(column_norm, size_W), le(column_bound), column_bound,
          counterexample=Counterexample("||x||_x = 2 max |x_i|, W = I: 2 <= 1", twice_the_largest_entry),
          note="Printed for any compatible pair with max |x_i| <= ||x||_x; that gives ||e_v||_x >= 1, and the step needs = 1."),
    claim("norm of a row", "||W_{u^T}||_x <= ||W||_A", "erratum", any_norm, le(row_below_matrix), row_below_matrix,
          counterexample=Counterexample("1-norm and largest column sum, W = [[1, 1], [0, 0]]: 2 <= 1", one_norm),
          note="Printed for any compatible pair of norms; false for the 1-norm. True for the largest entry with the largest "
               "row sum, which the worked example uses; the final bound does not depend on it."),
    claim("bound in any norm", "the bound without n for any compatible norms with ||e_v||_x = 1", "inequality", None, le(for_any_norm),
          for_any_norm, checks=[check(log10_bound_in(norm), range(1, 101), "<=") for norm in (2, 1, np.inf)]),
]
