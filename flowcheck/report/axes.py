"""Axes of the figures: lines, limits, thresholds, and labels beside the lines that keep out of each other's way."""

from dataclasses import dataclass

import numpy as np

from .svg import INK, stack

__all__ = [
    "FLOAT32_SMALLEST",
    "Line",
    "crossing",
    "crossing_labels",
    "finite",
    "frame",
    "inner_labels",
    "last_crossing",
    "limits",
    "note",
    "right_labels",
    "threshold",
]

FLOAT32_SMALLEST = -149 * float(np.log10(2))


@dataclass(frozen=True)
class Line:
    """One curve: y over x; `bold` is the one to look at first."""

    label: str
    x: np.ndarray
    y: np.ndarray
    bold: bool = False


def crossing(line):
    """Index at which a line first falls below float32's smallest number, or None."""
    below = np.flatnonzero(line.y < FLOAT32_SMALLEST)
    return int(below[0]) if len(below) else None


def last_crossing(lines, end):
    """A round number of steps that shows every crossing, at most `end`."""
    crossed = [c for c in map(crossing, lines) if c is not None]
    return min(end, int(np.ceil(1.2 * max(crossed) / 50) * 50)) if crossed else end


def finite(y):
    return np.where(np.isfinite(y), y, np.nan)


def limits(lines, lows, highs):
    """The nearest of a few fixed limits that hold the lines; the widest where none does."""
    values = np.concatenate([line.y[np.isfinite(line.y)] for line in lines] or [np.zeros(1)])
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    return next((v for v in lows if v <= low), lows[-1]), next((v for v in highs if v >= high), highs[-1])


def frame(axes, title, xlabel, xlim, ylim, ylabel=""):
    axes.set_xlim(*xlim)
    axes.set_ylim(*ylim)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", fontweight="bold", pad=10, color=INK)


def threshold(axes, x, y, low, words, lines):
    """A dotted line with its meaning, at the side away from where the lines cross it."""
    if y > low:
        axes.axhline(y, color=INK, lw=0.9, ls=(0, (2, 2)))
        crossed = [line.x[np.argmax(line.y < y)] for line in lines if np.any((line.y < y) & np.isfinite(line.y))]
        left = bool(crossed) and min(crossed) > x / 2
        note(axes, 0 if left else x, y, words, "left" if left else "right")


def note(axes, x, y, words, side="right"):
    axes.annotate(
        words,
        (x, y),
        (4 if side == "left" else -4, 3),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=11,
        color=INK,
    )


def _ends(axes, lines):
    """Where each line leaves the axes, as a fraction of their height."""
    low, high = axes.get_ylim()
    shown = [line.y[(line.x <= axes.get_xlim()[1]) & np.isfinite(line.y)] for line in lines]
    last = [y[-1] if len(y) else low for y in shown]
    return [float(np.clip((v - low) / (high - low), 0, 1)) for v in last]


def _pixels(axes):
    box = axes.get_window_extent()
    return box.width, box.height


def right_labels(axes, lines, colours):
    """Labels in the right margin, moved apart, with hair lines; inside where a curve leaves at the bottom."""
    width, height = _pixels(axes)
    (_, span), (low, _) = axes.get_xlim(), axes.get_ylim()
    seen = [np.flatnonzero(line.y >= low) for line in lines]
    last = [int(shown[-1]) + 1 if len(shown) else 0 for shown in seen]
    left = [float(line.x[k]) / span if k < len(line.x) else None for line, k in zip(lines, last, strict=True)]
    gone = [k for k, x in enumerate(left) if x is not None and x < 0.9]
    kept = [k for k in range(len(lines)) if k not in gone]
    ends = dict(zip(kept, _ends(axes, [lines[k] for k in kept]), strict=True))
    spots = {k: ((1, ends[k]), (1 + 9 / width, y)) for k, y in zip(kept, stack([*ends.values()], 13.5 / height, 0, 1))}
    for row, k in enumerate(sorted(gone, key=lambda k: -left[k])):
        spots[k] = (left[k], 0), (max(left[k] for k in gone) + 12 / width, (12 + 15 * row) / height)
    for k, (end, at) in spots.items():
        axes.annotate(
            lines[k].label, end, at, "axes fraction", "axes fraction", va="center", color=colours[k], fontsize=11.5,
            fontweight="bold" if lines[k].bold else "normal", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colours[k], "lw": 0.6, "shrinkA": 0, "shrinkB": 0},
        )


def crossing_labels(axes, lines, colours):
    """Upright labels under the float32 line where a slope crosses it; in the right margin where it never does."""
    width, _ = _pixels(axes)
    span = axes.get_xlim()[1]
    crossed = [crossing(line) for line in lines]
    inside = [k for k, c in enumerate(crossed) if c is not None]
    for k, at in zip(inside, stack([crossed[k] / span for k in inside], 14 / width, 0.02, 1)):
        axes.annotate(
            lines[k].label,
            (crossed[k], FLOAT32_SMALLEST),
            (at * span, FLOAT32_SMALLEST - 3),
            rotation=90,
            ha="center",
            va="top",
            fontsize=11.5,
            color=colours[k],
            fontweight="bold" if lines[k].bold else "normal",
            arrowprops={"arrowstyle": "-", "color": colours[k], "lw": 0.6, "shrinkA": 0, "shrinkB": 0},
        )
    outside = [k for k, c in enumerate(crossed) if c is None]
    right_labels(axes, [lines[k] for k in outside], [colours[k] for k in outside])


def inner_labels(axes, lines, styles):
    """Labels inside the axes, each with a sample of its line: under a curve that ends high, left of one that falls."""
    width, height = _pixels(axes)
    ends, gap = _ends(axes, lines), 19 / height
    for high in (True, False):
        chosen = [k for k, end in enumerate(ends) if (end > 0.5) == high]
        right = 1.0 if high else 0.72
        start = (
            min([ends[k] for k in chosen] or [0]) - 1.2 * gap
            if high
            else max([ends[k] for k in chosen] or [0]) + gap * len(chosen)
        )
        for row, k in enumerate(chosen):
            y = max(start - row * gap, 0.06 + (len(chosen) - 1 - row) * gap)
            axes.plot(
                [right - 30 / width, right - 4 / width], [y, y], transform=axes.transAxes, clip_on=False, **styles[k]
            )
            axes.text(
                right - 38 / width, y, lines[k].label, transform=axes.transAxes, ha="right", va="center", color=INK
            )
