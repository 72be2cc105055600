"""Experiment 1: embedded Reber grammar. Symbols B, T, P, S, X, V, E, numbered 0 to 6; predict the next symbol at every step.

    embedded:  B, then T or P, a Reber string, the same T or P again, E
    Reber:     B, then along the arrows of the automaton, each with probability 1/2, to E
"""

import numpy as np

from .sequences import Sequences

__all__ = ["AUTOMATON", "SYMBOLS", "as_sequences", "embedded", "legal", "next_symbols", "two_sets"]

SYMBOLS = "BTPSXVE"

AUTOMATON = {0: {"T": 1, "P": 5}, 1: {"S": 1, "X": 2}, 2: {"S": 3, "X": 5}, 3: {"E": None}, 4: {"P": 2, "V": 3}, 5: {"T": 5, "V": 4}}
"""{node: {symbol: next node}} after the first B; the string ends behind node 3."""


def reber(rng):
    """One Reber string, with its B and E."""
    string, node = "B", 0
    while node is not None:
        symbols = sorted(AUTOMATON[node])
        symbol = symbols[rng.integers(len(symbols))]
        string, node = string + symbol, AUTOMATON[node][symbol]
    return string


def embedded(rng):
    """One string of the embedded grammar; at least 9 symbols."""
    branch = "TP"[rng.integers(2)]
    return f"B{branch}{reber(rng)}{branch}E"


def next_symbols(string):
    """For every symbol of an embedded string but the last, the set of symbols that may follow. Raises ValueError for an illegal string."""
    if len(string) < 2 or string[0] != "B" or string[1] not in "TP":
        raise ValueError(f"{string!r} is no embedded Reber string: it does not start with BT or BP")
    branch, allowed, node, inside = string[1], [{"T", "P"}, {"B"}], None, None
    for k, symbol in enumerate(string[1:], 1):
        if symbol not in allowed[k - 1]:
            raise ValueError(f"{string!r} is no embedded Reber string: symbol {k + 1} is {symbol}, expected {' or '.join(allowed[k - 1])}")
        if k == 1:
            continue
        if k == 2:
            node, inside = 0, True
        elif inside:
            node = AUTOMATON[node][symbol]
            inside = node is not None
        else:
            allowed.append({"E"} if len(allowed[-1]) == 1 and symbol == branch else set())
            continue
        allowed.append(set(AUTOMATON[node]) if inside else {branch})
    if allowed[-1]:
        raise ValueError(f"{string!r} is no embedded Reber string: it stops where {' or '.join(sorted(allowed[-1]))} must follow")
    return allowed[:-1]


def legal(string):
    """Whether a string belongs to the embedded grammar."""
    try:
        next_symbols(string)
    except ValueError:
        return False
    return True


def as_sequences(strings):
    """Sequences of strings: input each symbol but the last, target the next one."""
    codes = [np.array([SYMBOLS.index(c) for c in string]) for string in strings]
    lengths = [len(c) - 1 for c in codes]
    x = np.concatenate([c[:-1] for c in codes])
    target = np.eye(len(SYMBOLS))[np.concatenate([c[1:] for c in codes])]
    return Sequences(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), x.astype(np.int64), target, np.ones(len(x), bool))


def _others(rng, size, known):
    strings = []
    while len(strings) < size:
        strings += [s for s in [embedded(rng)] if s not in known]
    return strings


def two_sets(rng, size=256, drawn=False):
    """(training strings, test strings), `size` different ones each, no string in both.

    `drawn`: both are as the grammar draws them, so that short strings stand there more than once and the test strings are longer ones.
    """
    if drawn:
        training = [embedded(rng) for _ in range(size)]
        return training, _others(rng, size, set(training))
    found = {}
    while len(found) < 2 * size:
        found.setdefault(embedded(rng))
    strings = list(found)
    order = rng.permutation(len(strings))
    return [strings[k] for k in order[:size]], [strings[k] for k in order[size:]]
