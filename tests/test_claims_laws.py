"""The laws and kinds of fact that proofs are made of, against direct computation; what they must refuse; loading of files."""

import itertools
import sys
from dataclasses import replace

import pytest
import sympy
from claims_of_paper import FOLDER
from sympy import Abs, Eq, Integer, KroneckerDelta, Lambda, Product, Rational, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Claim,
    ClaimError,
    Family,
    Given,
    Induction,
    OnInterval,
    PathSum,
    Proof,
    ProofError,
    Step,
    indices,
    lag,
    last_factor,
    last_index,
    last_term,
    load,
    one_unit,
    partial,
    pick,
    pick_terms,
    quantity,
    same,
    triangle,
)
from flowcheck.notation import g, h, sigma, tanh

S32, A2 = FOLDER / "s3_2_constant_error_flow.py", FOLDER / "a2_3_error_flow.py"
q, m = lag("q m")
i, j, k, n, u, v = indices("i j k n u v")
x = sympy.Symbol("x", real=True)
w, f, e = (quantity(name, name + "_{{{0}}}") for name in "wfe")
size = quantity("size", "S_{{{0}}}", integer=True, positive=True)

# When two expressions are equal.

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


@pytest.mark.parametrize("a, b", [
    (sympy.exp(2 * x) * sympy.exp(-x), sympy.exp(x)),
    (1 / (1 + sympy.exp(-x)), sympy.exp(x) / (1 + sympy.exp(x))),
    (1 / (1 + f(1)) + f(1) / (1 + f(1)), Integer(1)),
    (Sum(h(f(i)) * w(i, j), (i, 1, n)), Sum((2 * sigma(f(k)) - 1) * w(k, j), (k, 1, n))),
], ids=str)
def test_equal_fractions_and_exponentials_are_equal(a, b):
    assert same(a, b) and same(b, a)
    assert not same(a, b + Rational(1, 10**12))


# Laws.


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


@pytest.mark.parametrize("high", [1, 2, 5])
def test_last_term_is_the_definition_of_the_sum(high):
    term = Sum(f(i, j), (i, 1, high))
    assert sympy.expand(last_term.rewrite(term).doit() - term.doit()) == 0
    assert last_term.rewrite(Sum(f(i, j), (i, 1, 0))) == 0


def test_deltas_pick_their_terms():
    assert pick_terms.rewrite(Sum(KroneckerDelta(i, u) * KroneckerDelta(j, u) * f(i, j), (i, 1, n), (j, 1, n))) == f(u,
                                                                                                                     u)
    of_blocks = Sum(KroneckerDelta(j, u) * f(i, j), (i, 1, size(j)), (j, 1, n))
    assert pick_terms.rewrite(of_blocks) == Sum(f(i, u), (i, 1, size(u)))
    partly = Sum(KroneckerDelta(i, u) * f(i, j) + f(i, i), (i, 1, n))
    assert pick_terms.rewrite(partly) == f(u, j) + Sum(f(i, i), (i, 1, n))
    for kept in (Sum(KroneckerDelta(i, u) * f(i, j), (i, 2, n)), Sum(KroneckerDelta(u, v) * f(i, j), (i, 1, n)),
                 Sum(KroneckerDelta(i, j) * f(i, j), (i, 1, n), (j, 1, k))):
        assert pick_terms.rewrite(kept) == kept


@pytest.mark.parametrize("values", [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2), (1, 2, 3)])
def test_one_unit_is_not_two(values):
    term = (KroneckerDelta(i, k) + f(1, 1)) * (KroneckerDelta(j, k) + KroneckerDelta(i, k) * f(1, 2))
    at = dict(zip((i, j, k), values))
    assert sympy.expand(one_unit.rewrite(term).subs(at) - term.subs(at)) == 0


# Facts.



def cubes(high):
    """0 + 1 + ... as a family."""
    return Family("sums of cubes", f(q), (q * (q + 1) / 2) ** 2, q, {
        value: Step(f"{value}", f(value), Integer((value * (value + 1) // 2) ** 2), (
            Given("sum of cubes", f(value), Integer(sum(k**3 for k in range(value + 1)))),)) for value in range(high + 1)},
        f"q <= {high}", forall=(q,))


def test_a_family_proves_its_members_only():
    Proof(cubes(3), Step("one of them", f(3), Integer(36), (cubes(3),))).verify()
    refuse(Step("another", f(4), Integer(100), (cubes(3),)), "does not hold")
    refuse(replace(cubes(3), rhs=q), "needed")
    refuse(replace(cubes(3), parts={}), "members")
    proof = Proof(cubes(3))
    claim = Claim("x", "", "", "", "exact", None, Eq(f(q), (q * (q + 1) / 2) ** 2), proof)
    claim.verify()
    assert claim.proof_status == "proved for q <= 3"


def test_intervals_prove_a_bound_and_refuse_a_tighter_one():
    bound = OnInterval("h' <= 1/2", h.slope(x), Rational(1, 2) + Rational(1, 10**6), x, -3, 5)
    Proof(bound).verify()
    for wrong in (replace(bound, rhs=Rational(1, 2) - Rational(1, 10**6)), replace(bound, high=Integer(5), rhs=Rational(1, 4))):
        refuse(wrong, "is not shown")
    refuse(replace(bound, rhs=0.5000001), "rounded number")
    tail = OnInterval("h' is small from 8 to 9", h.slope(x), Rational(1, 100), x, 8, 9)
    Proof(Step("inside", h.slope(Rational(17, 2)), Rational(1, 50), (tail,), "<=")).verify()
    refuse(Step("outside", h.slope(Integer(7)), Rational(1, 50), (tail,), "<="), "does not hold")


def test_a_definition_is_one_given_as_printed():
    given = Given("y = f(1) + 1", e(1), f(1) + 1)
    defined = Claim("d", "", "", "", "definition", Eq(e(1), 1 + f(1)), Eq(e(1), f(1) + 1), Proof(given))
    defined.verify()
    assert defined.proof_status == "definition"
    for wrong in (replace(defined, printed=Eq(e(1), f(1))), replace(defined, derived=Eq(e(1), f(2) + 1)),
                  replace(defined, proof=Proof(given, given)), replace(defined, proof=Proof(replace(given, lemma=True)))):
        with pytest.raises(ProofError, match="definition|not as defined"):
            wrong.verify()


# Loading.


def test_load_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # a file is read as it stands, though an equally long one was read just before
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


def test_files_of_a_folder_import_each_other(tmp_path):
    (tmp_path / "b.py").write_text("from .a import CLAIMS as others, marker\nfrom dataclasses import replace\n"
                                   "assert others[0].note == marker\nCLAIMS = [replace(others[0], id='b')]\n")
    (tmp_path / "a.py").write_text(S32.read_text() + "\nmarker = object()\nCLAIMS = [replace_note(c) for c in CLAIMS[:1]]\n".replace(
        "replace_note(c)", "__import__('dataclasses').replace(c, note=marker)"))
    assert [c.id for c in load(tmp_path)] == ["3.2 error", "b"], "a is run once, so b sees the same objects"
