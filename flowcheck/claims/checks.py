"""How a claim meets the code: formulas of a derivation in plain NumPy, and the number of the package that each is to equal.

In every check `values` has the weights by name ("W_y", [to, from]) and each vector and input of the cell by name, of shape
(steps, size), the last row at time t. Imports nothing.
"""

from dataclasses import dataclass

__all__ = ["Check", "GradientCheck", "ValueCheck"]


@dataclass(frozen=True)
class Check:
    """How a claim meets the code: the claimed value of d sender(t) / d receiver(t-q) in plain NumPy.

    cell               its name in the catalogue
    sender, receiver   vectors of the cell; the receiver is perturbed where it is computed at step t-q, all later uses included
    truncated          whether the recurrent connections are cut
    evaluate           evaluate(values, q) -> array [sender unit, receiver unit]; for relation "<=" the log10 of a bound
                       on every |entry|. `values` has the weights by name ("W_y", [to, from]) and each vector of the cell by
                       name, of shape (steps, size), the last row at time t
    lags               the lags q at which it is meant to be checked
    """

    cell: str
    sender: str
    receiver: str
    truncated: bool
    evaluate: callable
    lags: range
    relation: str = "="


@dataclass(frozen=True)
class ValueCheck:
    """A forward equation: the claimed value of a vector of the cell at time t.

    evaluate(values) -> array [unit], from what the equation reads, never from the vector itself
    """

    cell: str
    vector: str
    evaluate: callable
    relation = "="


@dataclass(frozen=True)
class GradientCheck:
    """What one weight matrix or bias does to a vector at time t: the claimed sum_i errors_i d sender_i(t) / d parameter.

    evaluate(values, errors) -> array shaped like the parameter; states start at zero
    """

    cell: str
    sender: str
    parameter: str
    truncated: bool
    evaluate: callable
    relation = "="
