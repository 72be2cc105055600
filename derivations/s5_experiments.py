r"""Section 5: what can be derived of the experiments, and where the text counts wrong.

Problem. Task 2c: a sequence is b, then x or y, then q distractors, then again and again a further distractor with
probability 9/10 or e with probability 1/10, at last x or y. Printed: the expected length is q + 14, a symbol is expected
(q + 10)/p times, 1 <= i_1, ..., i_{q+k} <= q. Tables 8 and 10 and the text of Experiment 1 give further numbers. Do they
agree with the tasks as they are described?

Assumptions. Distractors are drawn from a_1 ... a_p with equal probability. Errors of logistic outputs with targets in [0, 1]
are at most 1.

Results. Six of these numbers are off: the expected length of task 2c is q + 13 and the expected number of a symbol
(q + 9)/p; its indices go to p; Table 10 counts a step too few for 2a, 2b and four too few for 2c; the "MSE" of Table 8 is none.
The lag of Experiment 1 is 6 in the shortest string, of length 9.
"""

from fractions import Fraction

import sympy
from sympy import Eq, Integer, Le, Rational, Sum, oo

from flowcheck.claims import Claim, Counterexample, Family, Given, Proof, Step, below, chain, equal, quantity

p, q = sympy.symbols("p q", integer=True, positive=True)
k = sympy.Symbol("k", integer=True, nonnegative=True)

# Task 2c: k further distractors with probability (1/10) (9/10)^k.

further = quantity("further", r"\mathrm{{E}}[k]")()
length, count = quantity("length", r"\mathrm{{E}}[\mathrm{{length}}]")(), quantity("count", r"\mathrm{{E}}[\#a_i]")()
geometric = Given("k is geometric: sum_k k (1/10) (9/10)^k, summed by SymPy", further,
                  Sum(k * Rational(1, 10) * Rational(9, 10) ** k, (k, 0, oo)).doit())
nine = Step("E[k] = 9", further, Integer(9), (geometric,))
of_length = Given("a sequence has b, x or y, q + k distractors, e, and x or y", length, q + further + 4)
expected_length = Step("q + 9 + 4", length, q + 13, (of_length, nine))
of_count = Given("q + k distractors, each a_i with probability 1/p", count, (q + further) / p)
expected_count = Step("(q + 9) / p", count, (q + 9) / p, (of_count, nine))
last_index = quantity("last_index", r"\max i")()
alphabet = Given("distractors are a_1 ... a_p", last_index, p)
index_range = Step("indices of distractors", last_index, p, (alphabet,))


def no_further(relation):
    """q = 1, p = 1: expected length 5 + E[k], count 1 + E[k], both by the first 500 terms of the series; the rest is below 1e-18."""
    terms = sum(n * Fraction(1, 10) * Fraction(9, 10) ** n for n in range(500))
    mean = Rational(terms.numerator, terms.denominator)
    values = {length: 5 + mean, count: 1 + mean}
    error = relation.lhs.subs(values) - relation.rhs.subs({q: 1, p: 1})
    return sympy.S(abs(error) < Rational(1, 10**18))


def table_3(relation):
    """The row q = 1000, p = 50 of Table 3: there is no symbol a_1000."""
    return relation.subs({last_index: 50, q: 1000, p: 50})


# Lengths in Table 10, second column.

length_2a, length_2c, lag_2c = (quantity(name, rf"\mathrm{{{{{words}}}}}")() for name, words in (
    ("length_2a", "length\\ 2a"), ("length_2c", "length\\ 2c"), ("lag_2c", "lag\\ 2c")))
of_2a = Given("2a, 2b: x or y, p - 1 symbols, x or y", length_2a, 1 + (p - 1) + 1)
of_2c = Given("2c: b, x or y, q distractors at least, e, x or y", length_2c, 1 + 1 + q + 1 + 1)
of_lag = Given("2c: x or y is shown at step 2, needed when e is shown, at step q + 3", lag_2c, (q + 3) - 2)
shortest_2a = Step("p + 1", length_2a, p + 1, (of_2a,))
shortest_2c = Step("q + 4", length_2c, q + 4, (of_2c,))
lag_of_2c = Step("q + 1", lag_2c, q + 1, (of_lag,))


def written_out(relation):
    """p = 3: (y, a_1, a_2, y); q = 2: (b, y, a_1, a_2, e, y): y is shown at step 2 and needed at step 5."""
    sequence = ["b", "y", "a_1", "a_2", "e", "y"]
    values = {length_2a: len(["y", "a_1", "a_2", "y"]), length_2c: len(sequence), lag_2c: sequence.index("e") - sequence.index("y")}
    return Eq(relation.lhs.subs(values), relation.rhs.subs({p: 3, q: 2}))


# Table 8: 14 of 2560 errors above 0.04, none above 1.

mse = quantity("mse", r"\mathrm{{MSE}}", nonnegative=True)()
small = quantity("small", r"\overline{{e^2_{{\leq 0.04}}}}", nonnegative=True)()
large = quantity("large", r"\overline{{e^2_{{> 0.04}}}}", nonnegative=True)()
split = Given("2546 of 2560 errors are at most 0.04, 14 are larger", mse, (2546 * small + 14 * large) / 2560)
small_bound = Given("their squares are at most 0.04^2", small, Rational(4, 100) ** 2, relation="<=")
large_bound = Given("logistic outputs, targets in [0, 1]: at most 1", large, Integer(1), relation="<=")
largest_mse = (2546 * Rational(4, 100) ** 2 + 14) / 2560
mse_bound = chain("mean squared error", mse, equal("by size", (2546 * small + 14 * large) / 2560, split),
                  below("both parts", largest_mse, small_bound, large_bound), below("and that is", Rational(706, 10**5)))

# Experiment 1: the Reber automaton. Strings without B and E: walks from node 0 to node 3; both letters at every node.

edges = {0: (1, 5), 1: (1, 2), 2: (3, 5), 5: (5, 4), 4: (2, 3)}
nodes = sorted(edges) + [3]
steps_of = sympy.Matrix(len(nodes), len(nodes), lambda a, b: edges.get(nodes[a], ()).count(nodes[b]))
walks = quantity("walks", r"\#\mathrm{{walks}}({0})")
letters = Integer(3)
n = sympy.Symbol("n", integer=True, nonnegative=True)
numbers = {length: Step(f"{length} steps", walks(length), sympy.Piecewise((0, n < 3), (2, True)).subs(n, length), (
    Given("entries of the powers of the adjacency matrix count walks", walks(length), (steps_of ** length)[0, nodes.index(3)],
          lemma=True),))
    for length in range(4)}
shortest = Family("walks of the automaton", walks(n), sympy.Piecewise((0, n < 3), (2, True)), n, numbers, "n <= 3", forall=(n,))
embedded, lag_1 = quantity("embedded", r"\mathrm{{length\ 1}}")(), quantity("lag_1", r"\mathrm{{lag\ 1}}")()
of_embedded = Given("B, T or P, then B, the shortest walk of 3 letters, E, then the same T or P, E", embedded,
                    1 + 1 + (1 + letters + 1) + 1 + 1)
of_lag_1 = Given("the second symbol is needed for the last but one", lag_1, (embedded - 1) - 2)
length_1 = Step("9", embedded, Integer(9), (of_embedded,))
lag_of_1 = Step("6", lag_1, Integer(6), (of_lag_1, of_embedded))


def shortest_string(relation):
    """BT BPVVE TE: T at 2 and at 8."""
    string = "BTBPVVETE"
    return relation.subs({lag_1: string.index("T", 2) - string.index("T"), embedded: len(string)})


def claim(id, title, printed, fact, separated=None, status="erratum", note=""):
    """A number of the experiments; `printed` is its right side in the paper."""
    derived = (Le if fact.relation == "<=" else Eq)(fact.lhs, fact.rhs, evaluate=False)
    as_printed = Eq(fact.lhs, printed, evaluate=False) if printed is not None else None
    return Claim(f"5 {id}", "", "5", title, status, as_printed, derived, Proof(fact), note=note,
                 counterexample=separated and Counterexample(*separated))


CLAIMS = [
    claim("task 2c, length", "expected length of a sequence", q + 14, expected_length,
          ("q = 1: 5 + 9 by summing the series is 14, not 15", no_further),
          note="Printed q + 14, from E[k] = 10; the mean of k is 9, as the first distractor comes with probability 9/10."),
    claim("task 2c, symbols", "expected number of times that a symbol occurs", (q + 10) / p, expected_count,
          ("q = p = 1: 1 + 9 by summing the series is 10, not 11", no_further), note="Printed (q + 10) / p."),
    claim("task 2c, indices", "indices of the distractors", q, index_range, ("q = 1000, p = 50, a row of Table 3: a_1000", table_3),
          note="Printed 1 <= i_1, ..., i_{q+k} <= q; there are p distractors."),
    claim("Table 10, length of 2a", "minimal sequence length of 2a and 2b", p, shortest_2a, ("p = 3: (y, a_1, a_2, y)", written_out),
          note="Table 10 has p; the sequences have p + 1 symbols."),
    claim("Table 10, length of 2c", "minimal sequence length of 2c", q, shortest_2c, ("q = 2: (b, y, a_1, a_2, e, y)", written_out),
          note="Table 10 has q."),
    claim("Table 10, lag of 2c", "minimal time lag of 2c", q, lag_of_2c, ("q = 2: y at step 2, e at step 5", written_out),
          note="Table 10 has q, the text q + 1."),
    claim("Table 8, MSE", "the mean squared error that 14 of 2560 wrong sequences allow", Rational(139, 10**4), mse_bound,
          ("the largest it can be: 0.00706, not 0.0139", lambda relation: relation.subs({mse: largest_mse})),
          note="Table 8 prints 0.0139; it may be the mean absolute error. Nor does it fit the text's 'always below 0.013'."),
    claim("Reber strings", "the shortest Reber strings have 3 letters between B and E", None, shortest, status="exact",
          note="Counted for 0 to 3 letters: 0, 0, 0 and 2 strings."),
    claim("Experiment 1, length", "length of the shortest embedded string", 9, length_1, status="exact"),
    claim("Experiment 1, lag", "lag between the second symbol and the last but one", 9, lag_of_1,
          ("BTBPVVETE: T at 2 and 8", shortest_string),
          note="Table 10 has 9, the length."),
]
