"""What a detector reports, and where its thresholds come from."""

from dataclasses import asdict, dataclass, field

__all__ = ["SEVERITIES", "Finding", "Threshold"]

SEVERITIES = ("info", "warning", "error")


@dataclass(frozen=True)
class Threshold:
    """A number that decides, with its source in words."""

    value: float
    source: str


@dataclass(frozen=True)
class Finding:
    """One finding about a layer or one of its units; evidence holds the numbers that decided."""

    rule: str
    layer: str
    unit: int | None
    severity: str
    evidence: dict
    threshold: float
    threshold_source: str
    remedy: str
    words: str = field(default="")

    def as_json(self):
        """A dict of JSON values."""
        return asdict(self)
