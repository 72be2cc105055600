"""What a backward pass is meant to compute: the full gradient, or a declared departure from it.

A departure that is what it claims passes, and the report says what it leaves out; anything else is a mistake.
"""

from dataclasses import dataclass

__all__ = ["Intent", "clipped", "direction", "full", "read_intent", "stochastic", "truncated", "up_to_scale"]


@dataclass(frozen=True)
class Intent:
    """A declared intent; build it with the functions below.

    kind      "full", "truncated", "up_to_scale", "direction", "stochastic", "clipped"
    window    an error travels back over fewer than `window` steps (truncated)
    k1, k2    after every k1 steps, errors of these k1 steps go back over k2 steps (truncated BPTT)
    cut       connections that carry no error: True for all recurrent ones (the rule of 1997), or their names
    cosine    least cosine between gradient and reference, per entry (direction)
    samples   number of calls that are averaged (stochastic)
    value     bound of every entry of the gradient (clipped)
    norm      bound of the norm of the whole gradient (clipped)
    inside    the clip is within the loop over time (clipped)
    """

    kind: str = "full"
    window: int | None = None
    k1: int | None = None
    k2: int | None = None
    cut: bool | tuple = ()
    cosine: float | None = None
    samples: int | None = None
    value: float | None = None
    norm: float | None = None
    inside: bool = False

    def __str__(self):
        fields = {"window": self.window, "k1": self.k1, "k2": self.k2, "cut": self.cut or None, "cosine": self.cosine,
                  "samples": self.samples, "value": self.value, "norm": self.norm, "inside": self.inside or None}
        given = ", ".join(f"{k}={v}" for k, v in fields.items() if v is not None)
        return f"{self.kind}({given})" if given else self.kind

    def start(self, t):
        """First step that an error of step t may reach, under a truncation in time."""
        if self.window is not None:
            return max(0, t - self.window + 1)
        if self.k2 is not None:
            end = t // self.k1 * self.k1 + self.k1 - 1
            return max(0, end - self.k2 + 1)
        return 0


full = Intent()
"""The whole gradient, every path and every lag: the default."""


def truncated(window=None, cut=(), *, k1=None, k2=None):
    """A truncated gradient: in time by `window` or by k1 and k2, in space by `cut` connections of a named cell.

    window=1 is Elman's and detached state: no error crosses a step. cut=True is the rule of 1997 (A.1): only the carousel carries error
    through time. Raises ValueError for lengths below 1, k1 > k2, or nothing truncated.
    """
    if (k1 is None) != (k2 is None):
        raise ValueError("truncated: k1 and k2 go together")
    if window is not None and (k1 is not None or not window >= 1):
        raise ValueError(f"truncated: window = {window} must be at least 1, and goes without k1 and k2")
    if k1 is not None and not 1 <= k1 <= k2:
        raise ValueError(f"truncated: needs 1 <= k1 <= k2, got k1 = {k1}, k2 = {k2}")
    if window is None and k1 is None and not cut:
        raise ValueError("truncated: say what is truncated: window=..., k1=... and k2=..., or cut=...")
    return Intent("truncated", window=window, k1=k1, k2=k2, cut=True if cut is True else tuple(cut))


def up_to_scale():
    """Right up to one positive factor, the same for all entries of one call."""
    return Intent("up_to_scale")


def direction(cosine):
    """Right in direction: the cosine with the full gradient is at least `cosine` for every entry. Raises ValueError outside (0, 1]."""
    if not 0 < cosine <= 1:
        raise ValueError(f"direction: cosine = {cosine} is outside (0, 1]")
    return Intent("direction", cosine=float(cosine))


def stochastic(samples):
    """Unbiased: the mean of `samples` calls meets the full gradient within its standard error. Raises ValueError below 8 samples."""
    if not samples >= 8:
        raise ValueError(f"stochastic: {samples} samples give no standard error; at least 8")
    return Intent("stochastic", samples=int(samples))


def clipped(value=None, norm=None, *, inside=False):
    """The full gradient, clipped: every entry to [-value, value], or the norm of the whole to at most `norm`.

    `inside`: the clip is within the loop over time, so the gradient is checked where it does not act. Raises ValueError unless exactly
    one positive bound is given.
    """
    if (value is None) == (norm is None) or not (value or norm) > 0:
        raise ValueError("clipped: give one positive bound, value=... or norm=...")
    return Intent("clipped", value=value, norm=norm, inside=inside)


def read_intent(intent):
    """An Intent from itself or from its word: "full", "up_to_scale", "truncated_1997", "detached". Raises ValueError for others."""
    if isinstance(intent, Intent):
        return intent
    words = {"full": full, "up_to_scale": up_to_scale(), "truncated_1997": truncated(cut=True), "detached": truncated(window=1),
             "elman": truncated(window=1)}
    if intent not in words:
        raise ValueError(f"no intent {intent!r}; known: {', '.join(words)}, or one of truncated(...), direction(...), stochastic(...), "
                         "clipped(...)")
    return words[intent]
