"""One way to run one experiment: the paper's numbers (Table 10), and a named reading for each detail that it leaves open."""

from dataclasses import asdict, dataclass, fields

__all__ = ["BIASED", "EXPERIMENTS", "READINGS", "Setting", "readings"]

EXPERIMENTS = {
    "1": "embedded Reber grammar", "2a": "noise-free sequences", "2b": "no local regularities", "2c": "very long time lags",
    "3a": "noise and signal on one line", "3b": "noise on the signal", "3c": "noisy targets", "4": "adding", "5": "multiplication",
    "6a": "temporal order, two symbols", "6b": "temporal order, three symbols",
}
GATES, HIDDEN, ALL = ("b_in", "b_out"), ("b_in", "b_out", "b_c"), ("b_in", "b_out", "b_c", "b_k")
BIASED = {"gates": GATES, "hidden": HIDDEN, "all": ALL}
"""Which units have a bias: gates; hidden units, which are gates and cells; all but the inputs."""


@dataclass(frozen=True)
class Setting:
    """Net, rule and stopping rule of a trial; with its seed it determines every number of it.

    method        "1997"; "rtrl", "bptt", "elman" for conventional nets; "rcc", recurrent cascade correlation (1); "chunker", the
                  neural sequence chunker (2a, 2b); "guessing", new random weights until a net answers rightly
    q, p, T, N    lag and number of distractors (2), length and signal (3 to 6), as in the paper
    units         memory cells, in `blocks` blocks; hidden units of a conventional net; the most that "rcc" adds
    reach         initial weights are uniform in [-reach, reach]
    biases        biases that exist, as in BIASED; `input_gates`, `output_gates` are initial values of theirs that the paper gives
    n_seq         experiment 5: fewer than so many of the last 2000 sequences wrong
    budget        training sequences after which a trial has failed

    Readings of what the paper leaves open:

    recurrent     whether hidden units see hidden units one step earlier, other than a carousel itself
    every_step    whether weights change after every step with a target, or at the end of the sequence
    enter         where y_k - target_k enters: "y_k" (squared error, (16)) or "net_k" (without the slope f')
    window        sequences whose mean is the average training error of experiments 4 and 6
    added_later   2a, 2b: hidden units are added when the error of the outputs alone no longer falls
    output        f of the output units: "sigma", or "linear"
    at_end        2b: whether errors occur at the last step only, where success is judged, or at every step
    drawn         1: whether the training strings are drawn with their probabilities, short ones more than once, or all differ
    """

    experiment: str
    method: str = "1997"
    q: int = 0
    p: int = 0
    T: int = 0
    N: int = 0
    units: int = 1
    blocks: int = 1
    alpha: float = 0.5
    reach: float = 0.1
    biases: tuple = ()
    input_gates: tuple = ()
    output_gates: tuple = ()
    n_seq: int = 0
    budget: int = 1_000_000
    recurrent: bool = True
    every_step: bool = False
    enter: str = "y_k"
    window: int = 2000
    added_later: bool = False
    output: str = "sigma"
    at_end: bool = False
    drawn: bool = False

    def __post_init__(self):
        if self.experiment not in EXPERIMENTS:
            raise ValueError(f"no experiment {self.experiment!r}; experiments are {', '.join(EXPERIMENTS)}")
        kind = self.experiment[0]
        smallest = {"q": self.experiment == "2c", "p": 2 * (kind == "2"), "T": 20 * (kind in "345"), "N": kind == "3", "budget": 1,
                    "units": 1, "blocks": 1}
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise ValueError(f"experiment {self.experiment} needs {name} of at least {int(least)}, got {getattr(self, name)}")
        if not self.alpha > 0 or not self.reach >= 0:
            raise ValueError(f"the learning rate is positive and initial weights have a range; got {self.alpha} and {self.reach}")

    def as_json(self):
        """Plain numbers and words, in one order; what is as usual is left out, so that a new field leaves the names of older settings."""
        usual = {f.name: f.default for f in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in sorted(asdict(self).items()) if v != usual[k]}

    @classmethod
    def from_json(cls, found):
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in found.items()})


NO_OR_YES = {"false": False, "true": True}
READINGS = {
    "recurrent": NO_OR_YES, "every_step": NO_OR_YES, "enter": {"y_k": "y_k", "net_k": "net_k"}, "window": int, "added_later": NO_OR_YES,
    "output": {"sigma": "sigma", "linear": "linear"}, "at_end": NO_OR_YES, "drawn": NO_OR_YES, "biases": BIASED,
}
"""Name: {word: value}, or int for any whole number."""


def readings(words):
    """{name: value} of words NAME=VALUE. Raises ValueError for a name that is none, or a value that it cannot have."""
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in READINGS:
            raise ValueError(f"no reading {name!r}; readings are {', '.join(READINGS)}")
        allowed = READINGS[name]
        known = allowed if allowed is not int else {value: int(value)} if value.isdigit() else {}
        if value.lower() not in known:
            raise ValueError(f"{name} is {'a whole number' if allowed is int else ' or '.join(allowed)}, got {value!r}")
        found[name] = known[value.lower()]
    return found
