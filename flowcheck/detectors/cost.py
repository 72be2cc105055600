"""What findings about single cells cost, and so how severe they are: one rule for all detectors.

A cell is lost that is dead or redundant, serves as a bias, stays behind a shut gate, drifts or is saturated until no error passes it. None
of that costs the layer function over the lengths seen: without the cell, or with a constant in its place, the net does the same, or the
cell goes on as the net has learned to use it. What is lost is one of the cells that the layer was given. So each is `info`; a `warning`
where little of the layer is left. Function and flow of a layer as a whole (unused recurrence, vanishing and exploding flow, saturated
candidates, opposed updates) are measured by detectors of their own. One of these findings is a `warning` by itself: a state that is lost
and moves away from that of a fresh start (length-dependent), for the net then runs late on states that it never had early.
"""

from dataclasses import replace

from .finding import Threshold

__all__ = ["LOST", "graded"]

LOST = Threshold(0.9, "set here: a tenth of the layer's cells is left to do its work: it has collapsed, or is ten times what it needs")


def graded(findings, cells):
    """The findings of a layer of so many cells: `info` with `lost` in its evidence becomes a warning where all of them cost too much."""
    lost = {unit for f in findings if f.evidence.get("lost") for unit in f.evidence.get("units", [f.unit])}
    severity = "warning" if len(lost) >= LOST.value * cells else "info"
    share = f"{len(lost)} of {cells} cells are lost" if severity == "warning" else "over these lengths it costs the cell, no function"
    cost = {"cells_lost": len(lost), "cells": cells, "lost_threshold": LOST.value, "lost_threshold_source": LOST.source}
    return [replace(f, severity=severity, evidence=f.evidence | cost, words=f"{f.words}; {share}")
            if f.evidence.get("lost") and f.severity == "info" else f for f in findings]
