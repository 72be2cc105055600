r"""Benettin, Galgani, Giorgilli & Strelcyn 1980: Lyapunov exponents by QR, and what they say of the flow rate.

Problem. D(t) = d state(t) / d state(t-1) is the step Jacobian of a net with n states, P(T) = D(T) ... D(1) its flow over T
steps. P(T) overflows or vanishes long before its growth rates are known. Instead carry an orthonormal basis along,

    Q(t) R(t) = D(t) Q(t-1),      R(t) upper triangular with R_ii(t) = r_i(t) > 0,

and read off lambda_i(T) = (1/T) sum_{t=1}^T log r_i(t). What have these numbers to do with the flow?

Notation: S(T) = R(T) ... R(1). Q(0) is any orthonormal basis; every D(t) is regular, so that r_i(t) > 0.

Results, for every T and n; no limit is taken.
1. P(T) Q(0) = Q(T) S(T): nothing is lost by the decompositions between.
2. S(T) is upper triangular, S_ii(T) = prod_t r_i(t): the sum of the logs telescopes to log S_ii(T).
3. lambda_1(T) is exactly the rate at which the first basis vector grows: (1/T) log |P(T) q_1|. So it is never above
   (1/T) log ||P(T)||, the rate of the flow in the 2-norm, and it is equal to the rate of the flow along q_1.
4. The sum of all exponents is the mean of log |det D(t)|: a check that costs one determinant a step, and that fails as soon
   as decompositions are left out and S is no longer triangular in floating point.
5. For a diagonal D (cells under truncation) r_i(t) is the gate: exponents are mean logs of forget gates, 0 for a carousel.

That lambda_1(T) and (1/T) log ||P(T)|| have one limit for almost every Q(0) is Oseledets' theorem, and is not proved here.
"""

import sympy
from sympy import Eq, Integer, KroneckerDelta, Le, Product, Sum, log

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
    indices,
    lag,
    last_factor,
    pick_terms,
    quantity,
    split_at,
)

i, j, k, a, n, m, r = indices("i j k a n m r")
T = lag("T")
t, row, column = sympy.symbols("t row column", integer=True)
D, Q, R, P, S = (quantity(name, name + "_{{{0} {1}}}({2})") for name in "DQRPS")
r_i, gate = quantity("r", "r_{{{0}}}({1})", positive=True), quantity("gate", r"y^{{\varphi_{{{0}}}}}({1})", positive=True)
lam, image = quantity("lambda", r"\lambda_{{{0}}}({1})"), quantity("z", r"[P({1}) q_1]_{{{0}}}")
det_D, det_Q, det_R = (quantity(f"det{name}", rf"|\det {name}({{0}})|", positive=True) for name in "DQR")
norm = quantity("norm", r"\|P({0})\|", positive=True)


def over_units(function, index):
    """Sum over all states."""
    return Sum(function, (index, 1, n))


decomposition = Given("Q(t) R(t) = D(t) Q(t-1)", over_units(D(i, k, t) * Q(k, j, t - 1), k), over_units(Q(i, k, t) * R(k, j, t), k),
                      forall=(i, j, t))
triangular = Given("R(t) is upper triangular", R(row, column, t), Integer(0), forall=(row, column, t), where=(row > column,))
diagonal = Given("r_i(t) = R_ii(t)", R(i, i, t), r_i(i, t), forall=(i, t))
start_P, start_S = (Given(f"{name}(0) = 1", matrix(i, j, 0), KroneckerDelta(i, j), forall=(i, j)) for name, matrix in (("P", P), ("S", S)))
eq_P = Given("P(t) = D(t) P(t-1)", P(i, j, t), over_units(D(i, k, t) * P(k, j, t - 1), k), forall=(i, j, t), where=(t > 0,))
eq_S = Given("S(t) = R(t) S(t-1)", S(i, j, t), over_units(R(i, k, t) * S(k, j, t - 1), k), forall=(i, j, t), where=(t > 0,))

# 1. P(T) Q(0) = Q(T) S(T).

carried, decomposed = over_units(P(i, k, T) * Q(k, j, 0), k), over_units(Q(i, k, T) * S(k, j, T), k)
inner = over_units(D(i, a, T) * Q(a, k, T - 1), a)
no_loss = Induction(
    "P(T) Q(0) = Q(T) S(T)", carried, decomposed, T, start=0, forall=(i, j, T),
    base=Step("T = 0", carried, decomposed, (start_P, pick_terms), right=(start_S, pick_terms)),
    step=chain(
        "one step more", carried,
        equal("the last Jacobian", over_units(D(i, a, T) * over_units(P(a, k, T - 1) * Q(k, j, 0), k), a), eq_P),
        equal("T - 1 steps", over_units(D(i, a, T) * over_units(Q(a, k, T - 1) * S(k, j, T - 1), k), a), HYPOTHESIS),
        equal("in other order", over_units(S(k, j, T - 1) * inner, k)),
        equal("the decomposition", over_units(S(k, j, T - 1) * over_units(Q(i, a, T) * R(a, k, T), a), k), decomposition),
        equal("the last R", decomposed, right=(eq_S,))))

# 2. S is triangular, its diagonal a product.



def zero_below(j):
    """S_{j+r,j}(T) = 0 for one column j and every r >= 1."""
    entry = S(j + r, j, T)
    return Induction(
        "S(T) is upper triangular", entry, Integer(0), T, start=0, forall=(r, T),
        base=Step("T = 0", entry, Integer(0), (start_S,)),
        step=Step("one R more", entry, Integer(0), (eq_S, split_at(j, n), triangular, HYPOTHESIS)))


last_r = Step("one r more", S(i, i, t), r_i(i, t) * S(i, i, t - 1), (eq_S, split_at(i, n), zero_below(i), triangular, diagonal),
              forall=(i, t), where=(t > 0,))
growth = Product(r_i(i, m), (m, 1, T))
on_diagonal = Induction(
    "S_ii(T) = prod r_i(t)", S(i, i, T), growth, T, start=0, forall=(i, T),
    base=Step("T = 0", S(i, i, T), growth, (start_S,), right=(last_factor,)),
    step=Step("one r more", S(i, i, T), growth, (last_r, HYPOTHESIS), right=(last_factor,)))
logs = Sum(log(r_i(i, m)), (m, 1, T))
telescopes = Step("log S_ii(T) = sum of log r_i(t)", log(S(i, i, T)), logs, (on_diagonal,), forall=(i,))

# 3. The first exponent.

exponent = Given("lambda_i(T) = (1/T) sum_t log r_i(t)", lam(i, T), logs / T, forall=(i, T), where=(T > 0,))
of_image = Given("P(T) q_1, with q_1 the first column of Q(0)", image(i, T), carried.subs(j, 1), forall=(i, T))
stretched = Step("P(T) q_1 = S_11(T) times the first column of Q(T)", image(i, T), Q(i, 1, T) * S(1, 1, T),
                 (of_image, no_loss, split_at(Integer(1), n), zero_below(Integer(1))), forall=(i, T))
orthonormal = Given("columns of Q(T) are orthonormal", over_units(Q(i, 1, T) ** 2, i), Integer(1), forall=(T,))
squared = over_units(image(i, T) ** 2, i)
length = chain("|P(T) q_1| = S_11(T)", squared,
               equal("each entry", growth.subs(i, 1) ** 2 * over_units(Q(i, 1, T) ** 2, i), stretched, on_diagonal),
               equal("a column has length 1", growth.subs(i, 1) ** 2, orthonormal), forall=(T,))
first = Step("the first exponent is the rate of P(T) q_1", log(squared) / (2 * T), lam(1, T), (length,), right=(exponent,), forall=(T,),
             where=(T > 0,))
by_norm = Given("|P(T) q_1| <= ||P(T)|| as |q_1| = 1, and log grows", log(squared), 2 * log(norm(T)), forall=(T,), relation="<=",
                lemma=True)
rate = chain("flow rate", lam(1, T), equal("rate of P(T) q_1", log(squared) / (2 * T), right=(first,)),
             below("the norm", log(norm(T)) / T, by_norm), where=(T > 0,))

# 4. All exponents together.

determinants = (
    Given("|det| of a product: |det D(t)| |det Q(t-1)| = |det Q(t)| |det R(t)|", det_D(t), det_Q(t) * det_R(t) / det_Q(t - 1), forall=(t,),
          lemma=True),
    Given("an orthogonal matrix has |det| 1", det_Q(t), Integer(1), forall=(t,), lemma=True),
    Given("a triangular matrix has the product of its diagonal", det_R(t), Product(r_i(i, t), (i, 1, n)), forall=(t,), lemma=True))
all_exponents = Step("sum of the exponents", over_units(lam(i, T), i), Sum(log(det_D(m)), (m, 1, T)) / T, (exponent,), right=determinants,
                     where=(T > 0,))

# 5. A diagonal step Jacobian: Q(t) = 1 and R(t) = D(t) are its decomposition.

diagonal_D = Given("cells under truncation: D_ij(t) = delta_ij y^phi_i(t)", D(i, j, t), KroneckerDelta(i, j) * gate(i, t), forall=(i, j, t))
identity = Given("Q(t) = 1", Q(i, j, t), KroneckerDelta(i, j), forall=(i, j, t))
same_R = Given("R(t) = D(t)", R(i, j, t), D(i, j, t), forall=(i, j, t))
decomposes = Step("a decomposition", decomposition.lhs, decomposition.rhs, (diagonal_D, identity, pick_terms),
                  right=(same_R, diagonal_D, identity, pick_terms), forall=(i, j, t))
r_is_gate = Given("then r_i(t) = R_ii(t) = y^phi_i(t)", r_i(i, t), gate(i, t), forall=(i, t))
of_gates = Step("mean log of the forget gates", lam(i, T), Sum(log(gate(i, m)), (m, 1, T)) / T, (exponent, r_is_gate), forall=(i, T),
                where=(T > 0,))
open_gates = Given("a carousel: every forget gate is 1", gate(i, t), Integer(1), forall=(i, t))
carousel = Step("a carousel has exponent 0", lam(i, T), Integer(0), (of_gates, open_gates), forall=(i, T), where=(T > 0,))


def claim(id, title, fact, status="exact", **more):
    """A claim about Lyapunov exponents."""
    derived = (Le if fact.relation == "<=" else Eq)(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"Lyapunov {id}", "", "Benettin 1980", title, status, None, derived, Proof(*more.pop("also", ()), fact), **more)


CLAIMS = [
    claim("no loss", "P(T) Q(0) = Q(T) S(T) for every T", no_loss),
    claim("triangular", "S(T) stays upper triangular", zero_below(j)),
    claim("diagonal", "the diagonal of S(T) is the product of the r_i(t)", on_diagonal),
    claim("telescopes", "the sum of the logs telescopes", telescopes),
    claim("first", "the first exponent is the rate at which q_1 grows", first,
          note="For every T, not in the limit."),
    claim("rate", "the first exponent is at most the flow rate in the 2-norm", rate, "inequality"),
    claim("sum", "the sum of the exponents is the mean of log |det D(t)|", all_exponents),
    claim("gates", "under truncation: mean logs of the forget gates", of_gates, "truncated", also=(decomposes,)),
    claim("carousel", "a carousel has exponent 0", carousel, "truncated", also=(decomposes,)),
]
