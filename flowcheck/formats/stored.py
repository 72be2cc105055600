"""A recurrent layer as a file stores it, before a cell of the catalogue is chosen for it."""

from dataclasses import dataclass, field

__all__ = ["Contents", "Stored"]


@dataclass(frozen=True)
class Stored:
    """Rows stacked by gate in the framework's order, weights [to, from]. G gates that read x, n units, m outputs (n, but for projections).

    framework, kind   the framework's words, as in a cell's Layout ("keras", "LSTM")
    rows              {"weight_ih": (G n, inputs), "weight_hh": (G n, m)} and, where the file has them, "bias_ih" and "bias_hh" (G n,),
                      "weight_hr" (m, n), "peephole" (P n,)
    stack             layers of one stack feed each other, level by level
    activations       {"f": gates, "g": candidate, "h": squashed state}, each as in `activations`; what is left out is the cell's own
    source            what the rows' order rests on, for people
    question          why the file leaves the cell open; asked unless the user has answered
    """

    name: str
    framework: str
    kind: str
    rows: dict
    stack: str = ""
    level: int = 0
    reverse: bool = False
    activations: dict = field(default_factory=dict)
    source: str = ""
    question: str = ""


@dataclass
class Contents:
    """What a reader found in a file.

    layers   [Stored], or None where `tensors` have torch's names and the layers are still to be found in them
    tensors  {name: array}: everything under torch's names, or the weights and biases [to, from] that may be the read-out
    notes    what was found and assumed, in words
    apart    the file says that its stacks do not feed each other
    """

    layers: list | None = None
    tensors: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    apart: bool = False
