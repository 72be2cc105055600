"""What the project asks of its own speed, beside what one run has measured.

Ratios are the other's time by flowcheck's, forward pass included where a case has one; shares are of what dgemm could do in the same run.
at_the_limit: what a program would measure that did nothing but multiply all rows, as fast as dgemm; of the truncated rule, the smallest
net's forward pass and, beside it, what the rule costs a weight of the best net.
all_rows: what is measured where no direction that has fallen behind is left out.
"""

import math
import re

__all__ = ["judged"]

FAST = "flowcheck --fast"


class Results:
    """Rows of a run by case, whose number of lags or steps is left out of its name. Raises KeyError for what was not measured."""

    def __init__(self, rows, extra):
        self.cases, self.count, self.extra = {}, {}, extra
        for row in rows:
            name = re.sub(r", \d+ (lags|steps)", "", row["case"])
            self.cases.setdefault(name, {})[row["way"]] = row
            found = re.search(r", (\d+) (lags|steps)", row["case"])
            self.count[name] = int(found[1]) if found else None

    def seconds(self, case, way="flowcheck"):
        return self.cases[case][way]["seconds"]

    def share(self, case, way="flowcheck"):
        return self.cases[case][way]["share_of_limit"]

    def faster(self, case, than, way="flowcheck"):
        """The least time of the ways that begin with `than` by that of `way`."""
        times = [row["seconds"] for name, row in self.cases[case].items() if name.startswith(than)]
        if not times:
            raise KeyError(than)
        return min(times) / self.seconds(case, way)

    def possible(self, case, than, way="flowcheck, all rows, forward pass given"):
        """The same for a program that multiplies all rows, and does nothing else, at the machine's limit; None for a case that has none."""
        share = self.share(case, way)
        return share and self.faster(case, than, way) / share

    def others(self, table, what):
        """Rows of an extra table whose "what" begins so."""
        found = [row for row in self.extra[table] if row["what"].startswith(what)]
        if not found:
            raise KeyError(what)
        return found

    def spread(self, table, what, value):
        """Largest by smallest value of such rows."""
        values = [row[value] for row in self.others(table, what)]
        return max(values) / min(values)

    def least_spread(self, family):
        """The spread of the truncated rule, did it cost on the smallest net, beside the net itself, what it costs on the best."""
        each, alone = ([row["nanoseconds"] for row in self.others("truncated_rule", f"{what}, {family}")]
                       for what in ("a weight and step", "forward pass alone"))
        beyond = min(a - b for a, b in zip(each, alone, strict=True))
        return (alone[0] + beyond) / min(each)

    def power(self, table, what, value):
        """By which power of its size the value of such rows grows, from the first to the last."""
        rows = self.others(table, what)
        sizes = [int(row["size"].split()[0]) for row in rows]
        return math.log(rows[-1][value] / rows[0][value]) / math.log(sizes[-1] / sizes[0])


def targets(r):
    """Yield (what, "at least" or "at most", asked, unit, how to find it, and of some what is possible, and how to find it of all rows)."""
    least, most = "at least", "at most"
    for cell, share in (("tanh", 0.85), ("gru", 0.75), ("lstm", 0.75)):
        for n in (256, 512):
            for way in ("flowcheck", FAST):
                yield (f"full profile, all rows, {cell} n={n}{way[9:]}", least, share, "of dgemm",
                       lambda c=f"profile {cell} n={n}", way=way: r.share(c, f"{way}, all rows, forward pass given"))
    yield ("profile that keeps its rank, tanh n=256", most, 1.05, "x all rows",
           lambda: 1 / r.faster("profile of full rank tanh n=256", "flowcheck, all rows"))
    for cell in ("tanh", "gru", "lstm"):
        for n in (64, 256, 512):
            case = f"profile {cell} n={n}"
            asked = 2 if n == 256 and cell != "tanh" else 1
            for way in ("flowcheck", FAST):
                yield (case + way[9:], least, asked, "x JAX scan", lambda c=case, way=way: r.faster(c, "jax scan of Jacobians", way),
                       lambda c=case: r.possible(c, "jax scan of Jacobians"),
                       lambda c=case, way=way: r.faster(c, "jax scan of Jacobians", f"{way}, all rows"))
    for n, asked in ((64, 5), (256, 2.5), (512, 1.4)):
        for way in ("flowcheck", FAST):
            case = f"profile tanh n={n}"
            yield (case + way[9:], least, asked, "x best torch", lambda c=case, way=way: r.faster(c, "torch", way),
                   lambda c=case: r.possible(c, "torch"), lambda c=case, way=way: r.faster(c, "torch", f"{way}, all rows"))
    for cell in ("gru", "lstm"):
        case = f"profile {cell} n=256"
        yield (case, least, 3, "x best torch", lambda c=case: r.faster(c, "torch"), lambda c=case: r.possible(c, "torch"),
               lambda c=case: r.faster(c, "torch", "flowcheck, all rows"))
    for n in (64, 256):
        yield f"profile tanh n={n}", least, 2000, "x torch lag by lag", lambda c=f"profile tanh n={n}, one by one": r.faster(c, "torch")
    for cell in ("tanh", "gru", "lstm"):
        for n in (16, 32):
            yield f"profile {cell} n={n}, --fast", least, 1, "x JAX", lambda c=f"fast profile {cell} n={n}": r.faster(c, "jax", FAST)
    yield ("spectral norms, tanh n=256", most, 3, "x Frobenius norms",
           lambda: 1 / r.faster("spectral norm tanh n=256", "flowcheck, Frobenius norms"))
    yield "all pairs, tanh n=256", least, 0.7, "of dgemm", lambda: r.share("all pairs tanh n=256")
    for cell in ("tanh", "gru", "lstm"):
        case = f"probe {cell} n=256"
        yield case, most, 2, "x the time of JAX", lambda c=case: 1 / r.faster(c, "jax")
        yield f"{case}, --fast", most, 1, "x the time of JAX", lambda c=case: 1 / r.faster(c, "jax", FAST)
        yield case, least, 3, "x torch backward", lambda c=case: r.faster(c, "torch")
    yield ("exponents, n=256", most, 3, "ms a step",
           lambda: 1000 * r.seconds("exponents tanh n=256") / r.count["exponents tanh n=256"])
    yield "gradient, lstm n=16, --fast", least, 50, "x torch eager", lambda: r.faster("fast gradient lstm n=16", "torch", FAST)
    yield "gradient, lstm n=16, --fast", least, 1, "x JAX", lambda: r.faster("fast gradient lstm n=16", "JAX", FAST)
    for case in sorted(c for c in r.cases if c.startswith("rtrl")):
        for way in ("flowcheck", FAST):
            yield case + way[9:], least, 0.6, "of dgemm", lambda c=case, way=way: r.share(c, way)
    for case, asked in (("all 5248 weights, lstm n=32", 0.1), ("all 70144 weights, lstm n=128", 8)):
        yield f"{case}, tangents", most, asked, "s", lambda c=case: r.seconds(c)
    for family in ("square", "oblong"):
        yield (f"truncated rule, ns a weight and step, {family}", most, 1.2, "largest by smallest",
               lambda f=family: r.spread("truncated_rule", f"a weight and step, {f}", "nanoseconds"), lambda f=family: r.least_spread(f))
    yield ("truncated rule, ns a step, 10^2 to 10^6 steps", most, 1.2, "largest by smallest",
           lambda: r.spread("truncated_rule", "a step,", "nanoseconds"))
    for what, asked in (("two cores tanh n=256", 1.6), ("two cores tanh n=256, one core busy", 1)):
        yield (what, least, asked, "x one thread", lambda c=what: r.faster(c, "flowcheck, one", "flowcheck, two threads"),
               lambda c=what: r.possible(c, "flowcheck, one", "flowcheck, two threads"))
    yield ("200 checkpoints, two workers", least, 1.7, "x one",
           lambda: r.faster("200 checkpoints, lstm n=32", "flowcheck, one", "flowcheck, two workers"))
    yield "memory of a full profile over lags", most, 1.1, "largest by smallest", lambda: r.spread("memory", "full profile", "peak_bytes")
    yield "memory of a streamed probe", most, 0.5, "power of the steps", lambda: r.power("memory", "streamed probe", "peak_bytes")
    yield ("slowest cell to compile", most, 0.3, "s",
           lambda: max(row["seconds"] for row in r.others("start_up", "compile")))


def judged(rows, extra):
    """[{"what", "asked", "measured", "met", "at_the_limit", "all_rows"}] of all targets for which this run has measured something."""
    found = []
    for what, bound, asked, unit, measure, *others in targets(Results(rows, extra)):
        try:
            measured = measure()
        except KeyError:
            continue
        met = measured >= asked if bound == "at least" else measured <= asked
        found.append({"what": what, "asked": f"{bound} {asked:g} {unit}", "measured": measured, "met": met,
                      "at_the_limit": others[0]() if others else None, "all_rows": others[1]() if others[1:] else None})
    return found
