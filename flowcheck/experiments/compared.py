"""What was measured beside what is printed: one entry for every row of the tables, and for every other setting that was run."""

from dataclasses import asdict, replace

import numpy as np

from .settings import BIASED

__all__ = ["chosen", "entries", "expected_steps"]

CONFIDENCE = 1.96
"""Standard deviations of a 95 % interval."""


def expected_steps(row):
    """Steps of a trial if it takes as many sequences as printed, or its whole budget: what orders rows by their cost."""
    s = row.setting
    lengths = {"1": 11, "2a": s.p, "2b": s.p, "2c": s.q + 12, "6a": 105, "6b": 105}
    return (row.printed.get("sequences") or s.budget) * lengths.get(s.experiment, 1.05 * s.T)


def chosen(rows, values, changes):
    """Rows whose settings have the given `values`; where none has, the last row of all with them. `changes` are made to every setting.

    Raises ValueError for values that no experiment can have.
    """
    rows = [row for row in rows if row.setting is not None]
    for name in values:
        if not any(getattr(row.setting, name) for row in rows):
            raise ValueError(f"experiment {rows[0].experiment} has no {name}")
    fitting = [row for row in rows if all(getattr(row.setting, k) == v for k, v in values.items())]
    if not fitting:
        last = max(rows, key=lambda row: (sum(getattr(row.setting, k) == v for k, v in values.items()), row.setting.method == "1997"))
        setting = replace(last.setting, **values)
        words = ", ".join(f"{k} {v}" for k, v in values.items())
        fitting = [replace(last, table="", words=words, setting=setting, printed={})]
    return sorted((replace(row, setting=replace(row.setting, **changes)) for row in fitting), key=expected_steps)


def entries(rows, outcomes):
    """[{"table", "experiment", "row", "attempted", "why", "printed", "setting", "measured", "trials"}]

    `outcomes` {setting: [outcome]}. A row is attempted by settings that differ from its own in budget only; those that differ in more are
    entries of their own behind the row that they are nearest to, with the differences in words.
    """
    found = [{"row": row, "settings": []} for row in rows]
    others = []
    for setting, trials in outcomes.items():
        near = [(row.setting.method != setting.method, len(_differences(row.setting, setting)), k) for k, row in enumerate(rows)
                if row.setting is not None and row.experiment == setting.experiment]
        if not near:
            continue
        _, count, k = min(near)
        (found[k]["settings"] if not count else others).append((setting, trials) if not count else (k, setting, trials))
    listed = []
    for k, entry in enumerate(found):
        row = entry["row"]
        tried = max(entry["settings"], key=lambda pair: (len(pair[1]), pair[0].budget), default=None)
        listed.append(_entry(row, *(tried or (row.setting, []))))
        for near, setting, trials in others:
            if near == k:
                words = ", ".join(f"{name} {value}" for name, value in _differences(row.setting, setting).items())
                listed.append(_entry(replace(row, words=f"{row.words}; {words}"), setting, trials))
    return listed


def _differences(one, other):
    """{field: value in `other`} where two settings differ, their budgets left out; sets of biases by name."""
    a, b = asdict(one), asdict(other)
    named = {value: name for name, value in BIASED.items()}
    return {name: named.get(b[name], b[name]) for name in b if b[name] != a[name] and name != "budget"}


def _entry(row, setting, trials):
    good = [t for t in trials if not t["error"]]
    return {
        "table": row.table, "experiment": row.experiment, "row": row.words, "attempted": bool(good), "why": row.why,
        "printed": row.printed, "setting": setting and setting.as_json(), "measured": _measured(good, setting) if good else None,
        "trials": [{**t, "success": None if t["success"] is None else bool(t["success"])} for t in trials],
    }


def _measured(trials, setting):
    solved = [t for t in trials if t["success"]]
    after = np.array([t["sequences"] for t in solved])
    st1 = [t["st1"] for t in trials if t["st1"] is not None]
    wrong = [t["wrong"] / 2560 for t in solved if t["wrong"] is not None]
    walls = [t["seconds"] for t in trials]
    return {
        "trials": len(trials), "solved": len(solved), "success_rate": len(solved) / len(trials),
        "success_interval": _wilson(len(solved), len(trials)), "weights": trials[0]["weights"],
        "budget": setting.budget,
        "median": float(np.median(after)) if solved else None, "mean": float(after.mean()) if solved else None,
        "least": int(after.min()) if solved else None, "most": int(after.max()) if solved else None,
        "st1_mean": float(np.mean(st1)) if st1 else None, "wrong": float(np.mean(wrong)) if wrong else None,
        "steps": sum(t["steps"] for t in trials), "cpu_seconds": round(sum(t["cpu_seconds"] for t in trials), 1),
        "seconds": None if None in walls else round(sum(walls), 1),
    }


def _wilson(solved, count):
    """95 % interval of a success rate (Wilson 1927)."""
    z2, share = CONFIDENCE**2, solved / count
    centre, half = share + z2 / (2 * count), CONFIDENCE * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return [float(max(0.0, (centre - half) / (1 + z2 / count))), float(min(1.0, (centre + half) / (1 + z2 / count)))]
