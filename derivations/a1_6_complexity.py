r"""Appendix A.1: how many steps the rule takes, and what it stores, equation (29).

Problem. K outputs, C blocks of S cells, H ordinary hidden units; I units feed each unit of the hidden layer. Printed: the
steps of each equation, and

    (29)  O(KH + KCS + HI + CSI) = O(W),    W = KH + KCS + CSI + 2CI + HI = O(KH + KCS + CSI + HI)

    (19) K, (20) KH, (21) KSC, (22) K(H + C) + HI + CI, (23) KCS, (25) to (28) CSI each; stored: 2CSI values.

Counted is one step for each product of a weight, or of a stored ds/dw, with an error.

Results. (29) holds: the steps lie between W and 4 W, for every size of the net. The count of (22) needs K(H + CS) for its
K(H + C): CS cells feed each output, as W has it; the total changes, the order does not.
"""

from itertools import product

import sympy
from sympy import Sum

from flowcheck.claims import Counterexample, Given, Step, indices, quantity

from .a1_1_forward_pass import claim

i, j, k, m, v, K, C, I, S = indices("i j k m v K C I S")  # noqa: E741  (the paper's letters)
H = sympy.Symbol("H", integer=True, nonnegative=True)

steps = quantity("steps", r"\mathrm{{steps}}_{{({0})}}", integer=True, nonnegative=True)
W = sympy.Symbol("W", positive=True)
spent = {19: Sum(1, (k, 1, K)), 20: Sum(1, (i, 1, H), (k, 1, K)), 21: Sum(1, (v, 1, S), (j, 1, C), (k, 1, K)),
         22: Sum(1, (i, 1, H), (k, 1, K)) + Sum(1, (v, 1, S), (j, 1, C), (k, 1, K))  # into outputs: from ordinary units, from cells
             + Sum(1, (m, 1, I), (i, 1, H)) + Sum(1, (m, 1, I), (j, 1, C)),  # into ordinary units, into output gates
         23: Sum(1, (v, 1, S), (j, 1, C), (k, 1, K)), **{number: Sum(1, (m, 1, I), (v, 1, S), (j, 1, C)) for number in (25, 26, 27, 28)}}
counted = [Given(f"({number}): one step for each product of a weight (a stored ds/dw) with an error", steps(number), each)
           for number, each in spent.items()]
each_count = {number: Step(f"steps of ({number})", steps(number), closed, counted) for number, closed in {
    19: K, 20: K * H, 21: K * S * C, 22: K * (H + C * S) + H * I + C * I, 23: K * C * S, 25: C * S * I, 26: C * S * I, 27: C * S * I,
    28: C * S * I}.items()}
stored = quantity("stored", r"\mathrm{{stored}}")()
kept = Given("stored: ds/dw of (25) and of (27), for each cell and each weight into its gate and into itself", stored,
             2 * Sum(1, (m, 1, I), (v, 1, S), (j, 1, C)))
storage = Step("storage", stored, 2 * C * S * I, (kept,))
all_steps = sympy.Add(*(count.lhs for count in counted))
all_weights = K * H + K * C * S + C * S * I + 2 * C * I + H * I
weight_count = Given("W: weights into outputs, cells, gates, ordinary units", W, all_weights)
step_count = Step("(29), counted", all_steps, K + 2 * K * H + 3 * K * C * S + H * I + C * I + 4 * C * S * I, counted)
more_blocks, more_cells = sympy.symbols("C' S'", integer=True, nonnegative=True)
positive = (Given("C >= 1 blocks: C = 1 + C'", C, 1 + more_blocks),
            Given("S >= 1 cells each: S = 1 + S'", S, 1 + more_cells))
at_most = Step("(29): K <= KCS", all_steps, 4 * W, (*counted, *positive), "<=", right=(weight_count, *positive))
at_least = Step("(29): 2CI <= 2CSI", W, all_steps, (weight_count, *positive), "<=", right=(*counted, *positive))
in_short = 3 * (K * H + K * C * S + C * S * I + H * I)
weights_in_short = Step("W: 2CI <= 2CSI", W, in_short, (weight_count, *positive), "<=", right=positive)


def small_net(relation):
    """K = 1, H = 0, C = 1, S = 2, I = 1: the products counted one by one."""
    outputs, hiddens, blocks, sources = ["k"], [], ["j"], ["m"]
    cells = [(block, number) for block in blocks for number in (1, 2)]
    products = {19: product(outputs), 20: product(outputs, hiddens), 21: product(outputs, cells),
                22: [*product(outputs, hiddens + cells), *product(hiddens + blocks, sources)],
                23: product(outputs, cells),
                **{number: product(cells, sources) for number in (25, 26, 27, 28)}}
    counts = {steps(number): len(list(each)) for number, each in products.items()}
    return relation.subs(counts).subs({K: 1, H: 0, C: 1, S: 2, I: 1})


def per_equation(number, printed=True, **more):
    """The steps of one equation."""
    return claim(29, f"steps of ({number})", "exact" if printed is True else "erratum", each_count[number], f"steps of ({number})",
                 printed=printed, **more)


CLAIMS = [
    *(per_equation(number) for number in (19, 20, 21)),
    per_equation(22, K * (H + C) + H * I + C * I, counterexample=Counterexample("K = 1, H = 0, C = 1, S = 2, I = 1: 3 is not 2", small_net),
                 note="Printed K(H + C): CS cells feed each output."),
    *(per_equation(number) for number in (23, 25, 26, 27, 28)),
    claim(29, "number of steps", "erratum", step_count, "steps",
          printed=K + 2 * K * H + K * C + 2 * K * S * C + H * I + C * I + 4 * C * S * I,
          counterexample=Counterexample("K = 1, H = 0, C = 1, S = 2, I = 1: 16 is not 15", small_net),
          note="The count of (22) for outputs is printed K(H+C); CS cells feed each output, so it is K(H+CS). "
               "The order stays."),
    claim(29, "O(W) steps: at most 4 W", "inequality", at_most, printed=None,
          note="Printed as O(W); the constant is ours."),
    claim(29, "at least W steps", "inequality", at_least, "at least W", printed=None),
    claim(29, "W = O(KH + KCS + CSI + HI)", "inequality", weights_in_short, "weights", printed=None,
          note="Printed as O(...); the constant is ours."),
    claim(29, "what is stored from step to step", "exact", storage, "storage", note="Independent of the length of a sequence."),
]
