r"""Section 3.1: how an error is scaled over q steps in a fully recurrent net, as one formula.

Problem. (1) gives the flow from unit u at time t to unit v at time t-q step by step. In one formula, as printed:

    (2)  d vartheta_v(t-q) / d vartheta_u(t)
           = sum_{l_1} ... sum_{l_{q-1}} prod_{m=1}^q f'_{l_m}(net_{l_m}(t-m)) w_{l_m l_{m-1}},   l_0 = u, l_q = v
           = (W_{u^T})^T F'(t-1) prod_{m=2}^{q-1} (W F'(t-m)) W_v f'_v(net_v(t-q))                q > 1

with W_v the weights out of v, [W_v]_i = w_iv, W_{u^T} those into u, and F' the diagonal matrix of the slopes.

Assumptions. Those of (1); u and v lie in 1..n.

Results. (2) needs w_{l_{m-1} l_m}; the matrix form is right. [W]_ij is row i, column j, though the text says otherwise. (2)
has n^{q-1} terms; a path whose factors all stay below c < 1 decays as c^q, one whose factors all exceed 1/c > 1 grows as
c^{-q}.
"""

import itertools

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Lambda, Product, Rational, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Cases,
    Counterexample,
    Given,
    Induction,
    MatrixEntry,
    MatrixRows,
    PathSum,
    Step,
    below,
    chain,
    equal,
    indices,
    last_factor,
    last_index,
    pick,
    quantity,
)

from .s3_1_1_error_signals import (
    check,
    claim,
    f_prime,
    first_step,
    flow,
    further_step,
    i,
    j,
    k,
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


# The columns and rows that the matrix form takes: [W]_ij = w_ij in row i, column j, as only then W e_v = W_v.

column_entry = quantity("column_entry", r"[W e_{{{1}}}]_{{{0}}}")
unit_vector = Given("e_v has a 1 at v", column_entry(i, v), Sum(w(i, j) * KroneckerDelta(j, v), (j, 1, n)))
in_row_i = Step("row i of W times e_v", column_entry(i, v), w(i, v), (unit_vector, pick))


def one_entry_off_the_diagonal(relation):
    """W = [[0, 1], [0, 0]], i = 1, v = 2: W e_v is the first column's neighbour, (1, 0)."""
    W = sympy.Matrix([[0, 1], [0, 0]])
    numbers = {column_entry(1, 2): (W * sympy.Matrix([0, 1]))[0], w(1, 2): W[0, 1], w(2, 1): W[1, 0]}
    return relation.subs({i: 1, v: 2}).subs(numbers)


# How many terms (2) has, and how the product along one path scales.

count = PathSum(Lambda((a, b, m), Integer(1)), u, v, q, n)
number_of_terms = Induction(
    "number of paths", count, n ** (q - 1), q, forall=(v, q),
    base=Step("one path of one step", count, n ** (q - 1), (last_index,)),
    step=Step("n ways for one step more", count, n ** (q - 1), (last_index, HYPOTHESIS)))
factor = quantity("factor", r"\left|f'_{{l_{{{0}}}}}(\mathrm{{net}}_{{l_{{{0}}}}}({0:t})) w_{{l_{{{0}-1}} l_{{{0}}}}}\right|",
                  positive=True)
c = sympy.Symbol("c", positive=True)
small = Given("|f' w| <= c at every step of the path", factor(m), c, forall=(m,), relation="<=")
large = Given("1 / |f' w| <= c at every step of the path, i.e. |f' w| >= 1/c", 1 / factor(m), c, forall=(m,), relation="<=")


def power_bound(words, term, each):
    """prod_{m=1}^q term(m) <= c^q, where each term is at most c."""
    along = Product(term(m), (m, 1, q))
    return Induction(
        words, along, c ** q, q, relation="<=", forall=(q,),
        base=Step("one factor", along, c ** q, (last_factor, last_factor, each), "<="),
        step=chain("one factor more", along,
                   equal("the last factor apart", Product(term(m), (m, 1, q - 1)) * term(q), last_factor),
                   below("by induction", c ** (q - 1) * term(q), HYPOTHESIS), below("the last factor", c ** q, each)))


vanishing = power_bound("a path with small factors", lambda m: factor(m), small)
blow_up = power_bound("a path with large factors", lambda m: 1 / factor(m), large)


# Numbers: d net_u(t) / d net_v(t-q) [u, v], from each of the two forms.


def flow_by_paths(values, q):
    """(2), corrected: the sum over all n^{q-1} paths, one by one."""
    W = values["W_y"]
    units = range(len(W))
    slopes = [None] + [f_prime(values, m) for m in range(1, q + 1)]
    return np.array([[sum(
        np.prod([slopes[m][path[m]] * W[path[m - 1], path[m]] for m in range(1, q + 1)])
        for path in ((start, *between, end) for between in itertools.product(units, repeat=q - 1)))
        for end in units] for start in units])


def flow_by_matrices(values, q):
    """(W_{u^T})^T F'(t-1) [prod_{m=2}^{q-1} W F'(t-m)] W_v f'_v(net_v(t-q)), the product from its right end."""
    W = values["W_y"]
    right = W * f_prime(values, q)
    for lags in range(q - 1, 1, -1):
        right = W @ np.diag(f_prime(values, lags)) @ right
    return W @ np.diag(f_prime(values, 1)) @ right


eq_matrix = Eq(flow(v, q), matrix_is_flow.rhs)

CLAIMS = [
    claim("2", "sum over all paths", "erratum", eq_2_printed, eq_2, path_sum, journal="3.2",
          counterexample=Counterexample("one step, u = 1, v = 2: w_vu is not w_uv", two_units),
          note="Printed w_{l_m l_{m-1}}; (1) gives w_{l_{m-1} l_m}. Already for q = 1 the printed form has w_vu where (1) "
               "has w_uv. The paper's own matrix form has the right order.",
          checks=[check(flow_by_paths, range(1, 5))]),
    claim("3.1 matrix form", "rewritten as a matrix product, q > 1", "exact", eq_matrix, eq_matrix, matrix_is_flow,
          checks=[check(flow_by_matrices, range(2, 101))]),
    claim("3.1 element of a matrix", "[W]_ij is row i, column j", "erratum", Eq(column_entry(i, v), w(v, i)), stated(in_row_i),
          in_row_i, counterexample=Counterexample("W = [[0, 1], [0, 0]]: [W e_2]_1 = w_12 = 1, w_21 = 0", one_entry_off_the_diagonal),
          note="The text puts [A]_ij in column i and row j. Then W e_v would be a row of weights, not W_v; the matrix form and "
               "the row sums of the bound use row i, column j."),
    claim("3.1 number of terms", "(2) has n^{q-1} terms", "exact", stated(number_of_terms), stated(number_of_terms), number_of_terms),
    claim("3.1 decay along a path", "factors below 1.0: exponential decay", "inequality", le(vanishing), le(vanishing), vanishing,
          note="Printed in words: |f' w| < 1.0 for all m, the largest product decays exponentially."),
    claim("3.1 growth along a path", "factors above 1.0: exponential growth", "inequality", le(blow_up), le(blow_up), blow_up,
          note="Printed in words: |f' w| > 1.0 for all m, the largest product grows exponentially. In reciprocals: with "
               "|f' w| >= 1/c the product is at least c^{-q}."),
]
