"""The single tasks of `derive` and `verify`."""

from pathlib import Path

from flowcheck.tasks import nearness


def test_how_near_a_bound_is_reached_comes_in_words():
    words = nearness((str(Path(__file__).parent.parent / "derivations" / "fahlman1991_cascade_correlation.py"),), "RCC bound")
    random, sought = (float(part.split()[0]) for part in words.split(", "))
    assert 0.9 < random <= 1 and 0.9 < sought <= 1 + 1e-12 and words.endswith("by search")
