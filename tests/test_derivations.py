"""Every claim of derivations/ is proved for every lag; planted mistakes are refused, harmless rewritings are not."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sympy
from latex2mathml.converter import convert
from sympy import Abs, Eq, Integer, Lambda, Product, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    ClaimError,
    Given,
    Induction,
    PathSum,
    Proof,
    ProofError,
    Step,
    indices,
    lag,
    last_factor,
    last_index,
    load,
    partial,
    pick,
    quantity,
    same,
    triangle,
)
from flowcheck.notation import g, h, sigma, tanh

FOLDER = Path(__file__).parent.parent / "derivations"
CLAIMS = {claim.id: claim for claim in load(FOLDER)}
S31, S32, A2 = (FOLDER / f"{name}.py" for name in ("s3_1_exponential_decay", "s3_2_constant_error_flow", "a2_error_flow"))

each_claim = pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())


@each_claim
def test_proved(claim):
    claim.verify()


@each_claim
def test_says_what_it_rests_on(claim):
    assert all(isinstance(words, str) and words for words in claim.assumptions)
    assert claim.title and claim.section and claim.source.endswith(".py")
    assert claim.note or claim.status != "erratum"


@each_claim
def test_without_proof_fails(claim):
    with pytest.raises(ProofError, match="no proof"):
        replace(claim, proof=Proof()).verify()


def mistaken(relation):
    """The relation with each of: right side doubled, its sign changed, one added, left side in its place."""
    a, b = relation.args
    for wrong in (2 * b + 1, 1 - b, b + 1, a + 1):
        yield relation.func(a, wrong, evaluate=False)


@each_claim
def test_proof_is_tied_to_derived_and_printed(claim):
    for wrong in mistaken(claim.derived):
        with pytest.raises(ProofError, match="not as derived"):
            replace(claim, derived=wrong).verify()
    if claim.printed is not None and claim.status != "erratum":
        for wrong in mistaken(claim.printed):
            with pytest.raises(ProofError, match="not as derived"):
                replace(claim, printed=wrong).verify()


@pytest.mark.parametrize("id", [c.id for c in CLAIMS.values() if c.status == "erratum"])
def test_erratum_needs_a_case_that_separates(id):
    claim = CLAIMS[id]
    for broken in (replace(claim, printed=claim.derived), replace(claim, counterexample=None), replace(claim, printed=None)):
        with pytest.raises(ProofError):
            broken.verify()


@each_claim
def test_latex_becomes_mathml(claim):
    for latex in (claim.printed_latex, claim.derived_latex):
        assert "$" not in latex
        assert convert(latex).startswith("<math")


def inductions():
    """Each induction of the folder once."""
    found = {id(fact): (fact, claim) for claim in CLAIMS.values() for fact in claim.proof.everything if isinstance(fact, Induction)}
    return [pytest.param(fact, id=f"{claim.id}, {fact.words}") for fact, claim in found.values()]


@pytest.mark.parametrize("induction", inductions())
def test_induction_has_base_and_step(induction):
    Proof(induction).verify()
    for missing in ({"base": None}, {"step": None}, {"step": induction.base}, {"start": induction.start + 3}):
        with pytest.raises(ProofError):
            Proof(replace(induction, **missing)).verify()


def test_which_claims_stand_on_induction():
    def by_induction(id):
        return any(isinstance(fact, Induction) for fact in CLAIMS[id].proof.everything)
    assert all(map(by_induction, ["2", "3.1 matrix form", "3.1 bound", "3.1 tau", "3.2 carousel", "40 every lag", "41"]))


PLANTED = [  # file, as it stands, with a mistake, the claim that must fail
    (S31, "Sum(w(i, j) * vartheta(i, m - 1), (i, 1, n))", "Sum(w(j, i) * vartheta(i, m - 1), (i, 1, n))", "1"),
    (S31, "slope(j, m) * Sum(w(i, j)", "slope(j, m - 1) * Sum(w(i, j)", "1"),
    (S31, "flow(v, 1), slope(v, 1) * w(u, v), (", "flow(v, 1), slope(v, 1) * w(v, u), (", "1"),
    (S31, "slope(v, q) * Sum(flow(j, q - 1) * w(j, v), (j, 1, n)), (backwards,)",
     "slope(v, q) * Sum(flow(j, q - 1) * w(v, j), (j, 1, n)), (backwards,)", "1"),
    (S31, "slope(v, q) * Sum(flow(j, q - 1) * w(j, v), (j, 1, n)), (backwards,)",
     "slope(v, q) * Sum(flow(j, q - 1) * w(j, v), (j, 2, n)), (backwards,)", "1"),
    (S31, "slope(b, m) * w(a, b)), u", "slope(b, m) * w(b, a)), u", "2"),
    (S31, "slope(b, m) * w(a, b)), u", "slope(a, m) * w(a, b)), u", "2"),
    (S31, "slope(b, m) * w(a, b)), u", "slope(b, m - 1) * w(a, b)), u", "2"),
    (S31, "slope(b, m) * w(a, b)), u", "2 * slope(b, m) * w(a, b)), u", "2"),
    (S31, "slope(b, m) * w(a, b)), u", "-slope(b, m) * w(a, b)), u", "2"),
    (S31, "slope(b, m) * w(a, b)), u", "w(a, b)), u", "2"),
    (S31, "(m, 2, q - 1)))", "(m, 2, q)))", "3.1 matrix form"),
    (S31, "(m, 2, q - 1)))", "(m, 1, q - 1)))", "3.1 matrix form"),
    (S31, "Product(W * slopes(m),", "Product(slopes(m) * W,", "3.1 matrix form"),
    (S31, "column_v, slope(v, q)))", "column_v, slope(v, q - 1)))", "3.1 matrix form"),
    (S31, "(row_u, slopes(1), Product", "(row_u, Product", "3.1 matrix form"),
    (S31, "Rational(1, 4), (logistic,)", "Rational(1, 5), (logistic,)", "3.1 largest slope"),
    (S31, "Abs(w(i, j)), sympy.Integer(4)", "Abs(w(i, j)), sympy.Integer(5)", "3.1 small weights"),
    (S31, "w_star, coth(z / 2) / y", "w_star, coth(z) / y", "3.1 largest factor"),
    (S31, "w_star, coth(z / 2) / y", "w_star, -coth(z / 2) / y", "3.1 largest factor"),
    (S31, "w(unit(m), unit(m + 1)), (m, 1, q - 1)", "w(unit(m), unit(m + 1)), (m, 1, q)", "3.1 regrouping"),
    (S31, "norm ** (q - 2)", "norm ** (q - 1)", "3.1 bound by row and column"),
    (S31, '"bound without n", (f_max * norm) ** q', '"bound without n", (f_max * norm) ** (q + 1)', "3.1 bound without n"),
    (S31, "n * (f_max * norm) ** q", "(f_max * norm) ** q / n", "3.1 bound"),
    (S31, "4 * tau, (in_matrix", "2 * tau, (in_matrix", "3.1 tau"),
    (S31, "Sum(Abs(w(i, j)), (j, 1, n)), norm", "Sum(Abs(w(i, j)), (i, 1, n)), norm", "3.1 bound"),
    (S32, "slope(m) * w * vartheta(m - 1),", "slope(m) * w * vartheta(m - 1) * 2,", "3.2 condition"),
    (S32, "vartheta(m), slope(m) * w", "vartheta(m), slope(m - 1) * w", "3.2 product"),
    (S32, "slope(m), 1 / w, forall", "slope(m), 2 / w, forall", "3.2 carousel"),
    (S32, "f(w * y), y + constant", "f(w * y), w * y + constant", "3.2 activation"),
    (S32, "f(x), x / w + constant, forall", "f(x), x / w, forall", "3.2 integration"),
    (A2, "s(k + 1) + y(in_j, k) * g(net(c_j, k))", "s(k + 1) - y(in_j, k) * g(net(c_j, k))", "30 first line"),
    (A2, "w(in_j, c_j) * sigma.slope(net(in_j, k))", "w(c_j, in_j) * sigma.slope(net(in_j, k))", "30 no truncation"),
    (A2, "1 + y(out_j, k + 1) * h.slope(before)", "1 + y(out_j, k) * h.slope(before)", "30 no truncation"),
    (A2, "gain(c_j) * h(s(1))", "gain(c_j)", "30 two steps"),
    (A2, "w(i, c_j) * theta_o(i, k - 1), w(l, c_j)", "w(c_j, i) * theta_o(i, k - 1), w(l, c_j)", "31"),
    (A2, "sigma.slope(net(out_j, k)) * h(s(k)) * theta_j(k), (at_out", "sigma.slope(net(out_j, k)) * theta_j(k), (at_out", "32"),
    (A2, "theta_s(k - 1) + y(out_j, k) * h.slope(s(k))", "theta_s(k - 1) + y(out_j, k) * h(s(k))", "33"),
    (A2, "at_y_out, of_c, *gates_inside, *truncation", "at_y_out, of_c, *gates_inside, *weight", "32"),
    (A2, "at_y_in, of_s, *gates_inside, *truncation", "at_y_in, of_s, *gates_inside", "37"),
    (A2, "g.slope(net(c_j, k)) * y(in_j, k) * theta_s(k), (at_c", "g.slope(net(c_j, k)) * theta_s(k), (at_c", "36"),
    (A2, "g(net(c_j, k)) * theta_s(k), (at_in", "g(net(c_j, k + 1)) * theta_s(k), (at_in", "37"),
    (A2, "slope(v, k) * over_all(w(i, v)", "slope(v, k - 1) * over_all(w(i, v)", "38"),
    (A2, "* h.slope(s(0))\nitself_j", "* h.slope(s(1))\nitself_j", "40 every lag"),
    (A2, "entry * g.slope(net(c_j, q)) * y(in_j, q)", "entry * g.slope(net(c_j, q)) * y(in_j, 0)", "41"),
    (A2, "entry * g(net(c_j, q)) * sigma.slope(net(in_j, q))", "entry * g.slope(net(c_j, q)) * sigma.slope(net(in_j, q))", "41"),
    (A2, "entry * g(net(c_j, q)) * sigma.slope(net(in_j, q))", "2 * entry * g(net(c_j, q)) * sigma.slope(net(in_j, q))", "41"),
]


@pytest.mark.parametrize("file, good, bad, id", PLANTED, ids=[f"{p[3]}-{k}" for k, p in enumerate(PLANTED)])
def test_planted_mistake_is_refused(tmp_path, file, good, bad, id):
    source = file.read_text()
    assert source.count(good) == 1, f"{good!r} stands {source.count(good)} times in {file.name}"
    planted = tmp_path / file.name
    planted.write_text(source.replace(good, bad))
    claim = {c.id: c for c in load(planted)}[id]
    with pytest.raises(ProofError, match=rf"^claim {id} "):
        claim.verify()


# Harmless rewritings.

q, m = lag("q m")
i, j, k, n, u, v = indices("i j k n u v")
x = sympy.Symbol("x", real=True)
w, f, e = (quantity(name, name + "_{{{0}}}") for name in "wfe")


@pytest.mark.parametrize("a, b", [
    (2 * sigma(x) - 1, sympy.tanh(x / 2)),
    (h(x), 2 * sigma(x) - 1),
    (g(x), 2 * h(x)),
    (tanh(x), 2 * sigma(2 * x) - 1),
    (sigma.slope(x), sigma(x) * (1 - sigma(x))),
    (g.slope(x), 4 * sigma.slope(x)),
    (f(1) * (w(1, 2) + 3), 3 * f(1) + w(1, 2) * f(1)),
    (Sum(w(i, j), (i, 1, n)), Sum(w(k, j), (k, 1, n))),
    (Sum(f(j) * Sum(w(i, j), (i, 1, n)), (j, 1, n)), Sum(Sum(w(k, i) * f(i), (i, 1, n)), (k, 1, n))),
    (Abs(-2 * f(1)), 2 * Abs(f(1))),
], ids=str)
def test_harmless_rewriting_is_accepted(a, b):
    assert same(a, b) and same(b, a)


@pytest.mark.parametrize("a, b", [
    (h(x), sigma(x)),
    (g.slope(x), h.slope(x)),
    (Sum(w(i, j), (i, 1, n)), Sum(w(j, i), (i, 1, n))),
    (Sum(w(i, j), (i, 1, n)), Sum(w(i, j), (i, 2, n))),
    (Sum(Abs(Sum(w(i, j), (i, 1, n))), (j, 1, n)), Sum(Abs(Sum(w(j, i), (i, 1, n))), (j, 1, n))),
    (sympy.Piecewise((x, Eq(q, 1)), (0, q > 1)), x),
], ids=str)
def test_difference_is_seen(a, b):
    assert not same(a, b)


def test_claims_accept_harmless_rewriting():
    first = CLAIMS["41"]
    branches = [(sympy.expand(b).rewrite(h).subs(h(x), sympy.tanh(x / 2)), c) for b, c in first.printed.rhs.args]
    replace(first, printed=Eq(first.printed.lhs, sympy.Piecewise(*branches, evaluate=False))).verify()
    gate = CLAIMS["32"]
    state, = gate.printed.rhs.atoms(h)
    replace(gate, printed=Eq(gate.printed.lhs, gate.printed.rhs.subs(state, sympy.tanh(state.args[0] / 2)))).verify()
    recursion = CLAIMS["1"]
    renamed = recursion.printed.rhs.replace(Sum, lambda body, limit: Sum(body.subs(limit[0], k), (k, *limit[1:])))
    replace(recursion, printed=Eq(recursion.printed.lhs, renamed)).verify()


# The laws that proofs use, against direct computation.


def paths_one_by_one(factor, first, last, q, n):
    return sum(sympy.prod([factor(path[m - 1], path[m], m) for m in range(1, q + 1)])
               for path in ((first, *between, last) for between in itertools.product(range(1, n + 1), repeat=q - 1)))


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_path_sum_opens_to_all_its_paths(steps):
    a, b = indices("a b")
    factor = Lambda((a, b, m), f(b, m) * w(a, b))
    opened = PathSum(factor, 1, 2, steps, 3)
    for _ in range(steps):
        opened = last_index.rewrite(opened).doit()
    assert sympy.expand(opened - paths_one_by_one(factor, 1, 2, steps, 3)) == 0


@pytest.mark.parametrize("high", [2, 3, 5])
def test_last_factor_is_the_definition_of_the_product(high):
    term = Product(f(m), (m, 2, high))
    assert last_factor.rewrite(term).doit() == term.doit()
    assert last_factor.rewrite(Product(f(m), (m, 2, q))) == Product(f(m), (m, 2, q)), "q >= 2 is not known"


def test_delta_picks_its_term():
    assert pick.rewrite(Sum(sympy.KroneckerDelta(i, u) * f(i), (i, 1, n))) == f(u)
    assert pick.rewrite(Sum(sympy.KroneckerDelta(i, u) * f(i), (i, 2, n))).has(Sum), "u = 1 would not be in the range"


def refuse(fact, words):
    with pytest.raises(ProofError, match=words):
        Proof(fact).verify()


def test_inequality_is_not_proved_by_too_weak_a_bound():
    at_most_4 = Given("at most 4", Abs(f(i)), Integer(4), forall=(i,), relation="<=")
    Proof(Step("5", Abs(f(1)), Integer(5), (at_most_4,), "<=")).verify()
    refuse(Step("3", Abs(f(1)), Integer(3), (at_most_4,), "<="), "does not hold")
    refuse(Step("strictly", Abs(f(1)), Integer(4), (at_most_4,), "<"), "does not hold")
    refuse(Step("product", x * Abs(f(1)), 4 * x, (at_most_4,), "<="), "does not hold")
    refuse(Step("triangle, backwards", Sum(Abs(f(i)), (i, 1, n)), Abs(Sum(f(i), (i, 1, n))), (), "<=", right=(triangle,)),
           "does not hold")


def test_equality_does_not_rest_on_inequality():
    at_most_4 = Given("at most 4", f(1), Integer(4), relation="<=")
    refuse(Step("4", f(1), Integer(4), (at_most_4,)), "cannot rest on the inequality")


def test_fact_is_used_only_where_it_holds():
    later = Given("for q > 1", f(q), Integer(0), forall=(q,), where=(q > 1,))
    Proof(Step("at 2", f(2), Integer(0), (later,))).verify()
    refuse(Step("at 1", f(1), Integer(0), (later,)), "does not hold")
    refuse(Step("at any q", f(q), Integer(0), (later,)), "does not hold")


def test_summation_index_is_never_mixed_up_with_a_free_one():
    row = Given("row j of w", f(j), Sum(w(i, j), (i, 1, n)), forall=(j,))
    Proof(Step("free i", f(i), Sum(w(k, i), (k, 1, n)), (row,))).verify()
    refuse(Step("captured", f(i), Sum(w(i, i), (i, 1, n)), (row,)), "does not hold")
    diagonal = Given("sum of rows", Sum(w(i, j), (j, 1, n)), Integer(0), forall=(i,))
    refuse(Step("diagonal", Sum(w(i, i), (i, 1, n)), Integer(0), (diagonal,)), "does not hold")


def test_hypothesis_only_inside_an_induction():
    refuse(Step("circular", f(q), Integer(0), (HYPOTHESIS,)), "outside of an induction")


def test_false_induction_is_refused():
    recursion = Given("doubling", f(q), 2 * f(q - 1), forall=(q,), where=(q > 0,))
    start = Given("start", f(0), Integer(1))
    good = Induction("powers of two", f(q), 2**q, q, start=0, forall=(q,), base=Step("0", f(q), 2**q, (start,)),
                     step=Step("one more", f(q), 2**q, (recursion, HYPOTHESIS)))
    Proof(good).verify()
    for wrong in (3**q, 2 ** (q + 1), q + 1, -(2**q)):
        refuse(replace(good, rhs=wrong, base=replace(good.base, rhs=wrong), step=replace(good.step, rhs=wrong)), "does not hold")


def test_quantities_of_one_name_are_different():
    other = quantity("f", "f_{{{0}}}")
    assert other(1) != f(1) and not same(other(1), f(1))
    assert partial(f(1), f(2)) != partial(f(1), other(2))


# Findings.


def test_product_of_factors_misses_what_gates_carry():
    """(30): two factors, multiplied, are not the two-step derivative of one block with nonzero gate weights."""
    both = CLAIMS["30 two steps"].derived.rhs
    remainder = both.subs({factor: 0 for factor in both.atoms(partial)})
    assert remainder.replace(lambda node: isinstance(node, sympy.Function), lambda node: sympy.Rational(1, 3)) > 0
    from_cell = [node for node in remainder.atoms(sympy.Function) if type(node).__name__ == "w" and node.args[1].name == "c_j"]
    gates_closed = {node: 0 for node in from_cell if node.args[0].name != "c_j"}
    assert remainder.subs(gates_closed) == 0, "with no weight from the cell to its gates the factors do chain"


# Numbers: three independent evaluations of one flow.


@pytest.fixture
def values(rng):
    units, steps = 3, 12
    return {"W_y": rng.normal(size=(units, units)).round(2), "net": rng.normal(size=(steps, units)).round(2)}


def evaluate(id, values, q):
    return CLAIMS[id].check.evaluate(values, q)


@pytest.mark.parametrize("q", [1, 2, 3, 4])
def test_paths_recursion_and_matrices_agree(values, q):
    flow = evaluate("1", values, q)
    tolerance = 1e-13 * np.abs(flow).max()  # some hundred products of float64
    np.testing.assert_allclose(evaluate("2", values, q), flow, rtol=0, atol=tolerance)
    if q > 1:
        np.testing.assert_allclose(evaluate("3.1 matrix form", values, q), flow, rtol=0, atol=tolerance)


def test_printed_order_of_indices_gives_other_numbers(values):
    transposed = values | {"W_y": values["W_y"].T}
    assert np.abs(evaluate("2", transposed, 2) - evaluate("1", values, 2)).max() > 0.1 * np.abs(evaluate("1", values, 2)).max()


@pytest.mark.parametrize("q", [1, 2, 5, 10])
def test_bounds_hold(values, q):
    largest = np.log10(np.abs(evaluate("1", values, q)).max())
    for id in ("3.1 bound", "3.1 bound without n", "3.1 tau", "3.1 tau without n"):
        assert largest <= evaluate(id, values, q)


def lstm_values(rng, blocks, block_size, steps=4):
    cells = blocks * block_size
    sizes = {"net_in": blocks, "y_in": blocks, "y_out": blocks, "net_c": cells, "s": cells}
    trajectory = {name: rng.normal(size=(steps, size)) for name, size in sizes.items()}
    return trajectory | {"W_in_y": rng.normal(size=(blocks, cells)), "W_c_y": rng.normal(size=(cells, cells))}


@pytest.mark.parametrize("block_size", [1, 2])
def test_cell_flows_have_the_shape_of_their_vectors(rng, block_size):
    values = lstm_values(rng, 3, block_size)
    for claim in CLAIMS.values():
        for check in claim.checks:
            if check.cell == "lstm1997":
                got = check.evaluate(values, 1)
                assert got.shape == (3 * block_size, values.get(check.receiver, values["s"]).shape[1])


# Loading.


def test_load_says_what_is_wrong(tmp_path):
    with pytest.raises(ClaimError, match="no such file"):
        load(tmp_path / "missing.py")
    with pytest.raises(ClaimError, match="no derivation files"):
        load(tmp_path)
    (tmp_path / "_draft.py").write_text("1 / 0")
    (tmp_path / "empty.py").write_text("x = 1")
    with pytest.raises(ClaimError, match=r"empty\.py: a derivation file ends with CLAIMS"):
        load(tmp_path)
    (tmp_path / "empty.py").write_text("1 / 0")
    with pytest.raises(ClaimError, match="ZeroDivisionError"):
        load(tmp_path)


def test_load_refuses_an_id_twice(tmp_path):
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(S32.read_text())
    with pytest.raises(ClaimError, match="already in"):
        load(tmp_path)


def test_load_takes_several_paths():
    assert {c.source for c in load(A2, S32)} == {str(A2), str(S32)}
