r"""Section 3.1: how backpropagated error is scaled on its way back through a fully recurrent net.

Problem. In a fully recurrent net with units 1..n an error occurs at unit u at time t and travels back q steps to unit
v. How is it scaled? Forward pass and error signals of BPTT (3.1, no numbers; w_ij: weight FROM j TO i):

    y^i(t) = f_i(net_i(t)),   net_i(t) = sum_j w_ij y^j(t-1)
    vartheta_k(t) = f'_k(net_k(t)) (d_k(t) - y^k(t))                     output unit k, target d_k(t)
    vartheta_j(t) = f'_j(net_j(t)) sum_i w_ij vartheta_i(t+1)            other units
    w_jl changes by alpha vartheta_j(t) y^l(t-1).

What inputs and biases add to net_i does not depend on y and drops out of every derivative. The printed formulas:

    (1)  d vartheta_v(t-q) / d vartheta_u(t) = f'_v(net_v(t-1)) w_uv                                          q = 1
                                             = f'_v(net_v(t-q)) sum_l d vartheta_l(t-q+1)/d vartheta_u(t) w_lv    q > 1
    (2)  = sum_{l_1} ... sum_{l_{q-1}} prod_{m=1}^q f'_{l_m}(net_{l_m}(t-m)) w_{l_m l_{m-1}},  l_0 = u, l_q = v
         = (W_{u^T})^T F'(t-1) prod_{m=2}^{q-1} (W F'(t-m)) W_v f'_v(net_v(t-q))                               q > 1

Assumptions. E is half the squared error, which is what the printed vartheta_k means. Slopes f' are functions of the
forward pass, which stays what it is; u and v lie in 1..n; f' >= 0, as for every squashing function here. Number of units
n and lag q are symbols throughout.

Results. (1) and the matrix form are right. (2) needs w_{l_{m-1} l_m}. [W]_ij is row i, column j, though the text says
otherwise. (2) has n^{q-1} terms; a path whose factors all stay below c < 1 decays as c^q, one whose factors all exceed
1/c > 1 grows as c^{-q}.
"""

import itertools

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Lambda, Le, Lt, Product, Rational, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Cases,
    Check,
    Claim,
    Counterexample,
    Differentiate,
    Given,
    GradientCheck,
    Induction,
    MatrixEntry,
    MatrixRows,
    PathSum,
    Proof,
    Step,
    ValueCheck,
    below,
    chain,
    equal,
    indices,
    lag,
    last_factor,
    last_index,
    partial,
    pick,
    pick_terms,
    quantity,
    total,
)
from flowcheck.notation import ROUTINES

u, v, i, j, k, l, n, K = indices("u v i j k l n K")  # noqa: E741  (the paper's letters)
q, m = lag("q m")
w = quantity("w", "w_{{{0} {1}}}")
y, target = quantity("y", "y^{{{0}}}({1:t})"), quantity("target", "d_{{{0}}}({1:t})")
net = quantity("net", r"\mathrm{{net}}_{{{0}}}({1:t})")
shown = quantity("shown", "x_{{{0}}}({1:t})")
slope = quantity("slope", r"f'_{{{0}}}(\mathrm{{net}}_{{{0}}}({1:t}))", nonnegative=True)
squashed = quantity("squashed", r"f_{{{0}}}(\mathrm{{net}}_{{{0}}}({1:t}))")
vartheta = quantity("vartheta", r"\vartheta_{{{0}}}({1:t})")
E = sympy.Symbol("E", real=True)
alpha = sympy.Symbol("alpha", positive=True)
anything = sympy.Symbol("z")


def flow(v, q):
    """d vartheta_v(t-q) / d vartheta_u(t)"""
    return partial(vartheta(v, q), vartheta(u, 0))


# Forward pass, and what an error signal is: vartheta_i(t) = -dE/dnet_i(t).

eq_net = Given("net_i(t) = sum_j w_ij y^j(t-1) + what inputs and biases add", net(i, m),
               Sum(w(i, j) * y(j, m + 1), (j, 1, n)) + shown(i, m), forall=(i, m))
eq_y = Given("y^i(t) = f_i(net_i(t))", y(i, m), squashed(i, m), forall=(i, m))
signal = Given("an error signal is vartheta_i(t) = -dE/dnet_i(t)", vartheta(i, m), -total(E, net(i, m)), forall=(i, m))
of_y = Given("y^i(t) = f_i(net_i(t)), differentiated", partial(y(i, m), net(j, m)), KroneckerDelta(i, j) * slope(i, m),
             forall=(i, j, m))

# At an output unit: E is half the sum of squared errors of step t.

half_square = Given("E = 1/2 sum_k (d_k(t) - y^k(t))^2 at the step of the target", E,
                    Sum((target(k, m) - y(k, m)) ** 2, (k, 1, K)) / 2)
direct_E = Given("at an output unit E depends on net_k(t) through y^k(t) only", total(E, net(i, m)), partial(E, net(i, m)),
                 forall=(i, m))
at_output = Step("vartheta_k(t)", vartheta(i, m), slope(i, m) * (target(i, m) - y(i, m)),
                 (signal, direct_E, Differentiate(half_square, (y,)), of_y, pick_terms))

# At another unit: E depends on net_j(t) through the net inputs of step t+1.

chain_rule = Given("chain rule: E depends on net_j(t) through the net inputs of step t+1", total(E, net(j, m)),
                   Sum(total(E, net(i, m - 1)) * partial(net(i, m - 1), net(j, m)), (i, 1, n)), forall=(j, m),
                   where=(m >= 1,), lemma=True)
read_back = Given("vartheta_i(t) read backwards", total(E, net(i, m)), -vartheta(i, m), forall=(i, m))
one_weight = Step("net_i(t+1) by net_j(t)", partial(net(i, m - 1), net(j, m)), w(i, j) * slope(j, m),
                  (Differentiate(eq_net, (y,)), of_y, pick_terms), forall=(i, j, m), where=(m >= 1,))
propagated = Step("vartheta_j(t)", vartheta(j, m), slope(j, m) * Sum(w(i, j) * vartheta(i, m - 1), (i, 1, n)),
                  (signal, chain_rule, read_back, one_weight), forall=(j, m), where=(m >= 1,))

# A weight: what net_j(t) does for it.

change = quantity("change", r"\Delta w_{{{0} {1}}}({2:t})")
descent = Given("gradient descent: net_j(t) adds -alpha dE/dnet_j(t) dnet_j(t)/dw_jl", change(j, l, m),
                -alpha * total(E, net(j, m)) * partial(net(j, m), w(j, l)), forall=(j, l, m))
apart = Given("weights are varied one by one", partial(w(i, j), w(k, l)), KroneckerDelta(i, k) * KroneckerDelta(j, l),
              forall=(i, j, k, l))
update = Step("Delta w_jl", change(j, l, m), alpha * vartheta(j, m) * y(l, m + 1),
              (descent, read_back, Differentiate(eq_net, (w,)), apart, pick_terms), forall=(j, l, m))

# (1): the error signals of BPTT, differentiated by one of them.

injected = Given("the errors injected at time t are independent of each other", flow(i, 0), KroneckerDelta(i, u), forall=(i,))
backwards = Differentiate(propagated, (vartheta,))

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


# Numbers: d net_u(t) / d net_v(t-q) [u, v], three times, each from its own formula.


def f_prime(values, m):
    """[f'_1(net_1(t-m)), ..., f'_n(net_n(t-m))], logistic units."""
    return ROUTINES["sigma_prime"](values["net"][-1 - m])


def largest_slope_of(values, q):
    """f'_max over the steps t-1 ... t-q."""
    return ROUTINES["sigma_prime"](values["net"][-1 - q:-1]).max()


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


def own_inputs(values):
    """What inputs and biases add to net(t)."""
    return values["W_x"] @ values["x"][-1] + values["b"]


def net_now(values):
    """net(t) = W y(t-1) + what inputs and biases add."""
    return values["W_y"] @ values["y"][-2] + own_inputs(values)


def weight_change(values, errors):
    """sum over all steps of vartheta_j(t-q) y^l(t-q-1), vartheta(t) = errors."""
    W, change = values["W_y"], np.zeros_like(values["W_y"])
    for m in range(len(values["y"]) - 1):
        change += np.outer(errors, values["y"][-2 - m])
        errors = f_prime(values, m + 1) * (W.T @ errors)
    return change


def check(evaluate, lags, relation="="):
    """A check of the fully recurrent net: net input to net input, full gradient."""
    return Check("conventional", "net", "net", False, evaluate, lags, relation)


def claim(id, title, status, printed, derived, *facts, journal="", **more):
    """A claim of section 3.1."""
    return Claim(id, journal, "3.1", title, status, printed, derived, Proof(*facts), **more)


def stated(fact):
    """The equation that a fact states."""
    return Eq(fact.lhs, fact.rhs, evaluate=False)


def le(fact):
    """The inequality that a fact states."""
    return (Lt if fact.relation == "<" else Le)(fact.lhs, fact.rhs, evaluate=False)


eq_matrix = Eq(flow(v, q), matrix_is_flow.rhs)
reads_net = ValueCheck("conventional", "net", net_now)

CLAIMS = [
    claim("3.1 net input", "net input of a unit", "definition", stated(eq_net), stated(eq_net), eq_net, checks=[reads_net],
          note="Printed without what inputs and biases add."),
    claim("3.1 activation", "activation of a unit", "definition", stated(eq_y), stated(eq_y), eq_y,
          checks=[ValueCheck("conventional", "y", lambda values: ROUTINES["sigma"](net_now(values)))]),
    claim("3.1 output error", "error signal of an output unit", "exact", stated(at_output), stated(at_output), at_output),
    claim("3.1 error", "error signal of another unit", "exact", stated(propagated), stated(propagated), propagated,
          checks=[check(flow_by_recursion, range(1, 2))]),
    claim("3.1 weight update", "what a weight contributes", "exact", stated(update), stated(update), update,
          checks=[GradientCheck("conventional", "net", "W_y", False, weight_change)]),
    claim("1", "error flow from u to v", "exact", eq_1, eq_1, *proof_1.facts, journal="3.1",
          checks=[check(flow_by_recursion, range(1, 101))]),
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
