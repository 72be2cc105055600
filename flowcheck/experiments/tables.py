"""Tables 1 to 9 as printed in 1997, and the Setting with which each row is tried again.

Budgets are the paper's where it gives one (five million sequences, experiment 2a and 2b), else five times the printed mean. Where a row
is not set as the paper has it (no bias of the output unit in experiments 4 and 5), the report says why.
"""

from dataclasses import dataclass, field, replace

from .settings import ALL, GATES, HIDDEN, Setting

__all__ = ["ROWS", "Row", "rows"]

@dataclass(frozen=True)
class Row:
    """One printed row: `printed` {"sequences", "success" (percent), "trials", "weights", "wrong" (share), "st1"}, as far as it says;
    "in_vain": sequences after which no net had succeeded.

    `setting` None: not attempted, for the reason `why`. `failed`: the paper's nets did not succeed.
    """

    table: str
    experiment: str
    words: str
    setting: Setting | None
    printed: dict = field(default_factory=dict)
    why: str = ""


def _row(table, words, setting, **printed):
    return Row(table, setting.experiment, words, setting, printed)


def _reber(table=1):
    def lstm(units, blocks, alpha, after, success):
        gates = tuple(range(-1, -blocks - 1, -1))
        setting = Setting("1", units=units, blocks=blocks, alpha=alpha, reach=0.2, biases=GATES, output_gates=gates, budget=5 * after,
                          every_step=True, drawn=True)
        words = f"LSTM, {blocks} blocks of {units // blocks}, rate {alpha:g}"
        return _row("1", words, setting, sequences=after, success=success, trials=30, weights=264 if blocks == 4 else 276)

    def other(method, units, alpha, after, **printed):
        setting = Setting("1", method=method, units=units, blocks=units, alpha=alpha, reach=0.2, budget=200_000, drawn=True)
        return _row("1", f"{method.upper()}, {units} hidden, rate {alpha:g}", setting, sequences=after, **printed)

    return [
        other("rtrl", 3, 0.05, 173_000, weights=170), other("rtrl", 12, 0.1, 25_000, weights=494),
        other("elman", 15, 0.1, None, in_vain=200_000, success=0, weights=435),
        _row("1", "RCC, 7 to 9 hidden", Setting("1", method="rcc", units=15, drawn=True, budget=300_000), sequences=182_000, success=50),
        lstm(4, 4, 0.1, 39_740, 100), lstm(6, 3, 0.1, 21_730, 100), lstm(6, 3, 0.2, 14_060, 97), lstm(4, 4, 0.5, 9_500, 97),
        lstm(6, 3, 0.5, 8_440, 100),
    ]


def _local():
    base = Setting("2a", p=100, alpha=1.0, reach=0.2, budget=5_000_000, every_step=True)
    lstm = replace(base, enter="net_k")
    random = {"experiment": "2b", "every_step": False, "at_end": True}
    weights = {4: 36, 10: 144, 100: 10_404}

    def conventional(method, p, alpha, after, success, experiment="2a", table="2"):
        setting = replace(base, method=method, p=p, alpha=alpha, every_step=method == "rtrl")
        setting = replace(setting, **random) if experiment == "2b" else setting
        failed = {"in_vain": 5_000_000} if not success and experiment == "2a" else {}
        return _row(table, f"{method.upper()}, p {p}, rate {alpha:g}", setting, sequences=after, success=success, trials=18,
                    weights=weights[p], **failed)

    failing = [(m, p, a) for m, p in (("rtrl", 10), ("rtrl", 100), ("bptt", 100)) for a in (1.0, 4.0, 10.0)]
    return [
        conventional("rtrl", 4, 1.0, 1_043_000, 78), conventional("rtrl", 4, 4.0, 892_000, 56), conventional("rtrl", 4, 10.0, 254_000, 22),
        *(conventional(*which, None, 0) for which in failing),
        _row("2", "CH, p 100, rate 1", replace(base, method="chunker"), sequences=32_400, success=33, trials=18),
        _row("2", "LSTM, p 100, rate 1", lstm, sequences=5_040, success=100, trials=18, weights=10_504),
        _row("2b", "LSTM, p 100, rate 1", replace(lstm, added_later=True, **random), sequences=5_680, success=100, trials=18,
             weights=10_504),
        *(conventional(m, 100, 1.0, None, 0, "2b", "2b") for m in ("rtrl", "bptt")),
        _row("2b", "CH, p 100, rate 1", replace(base, experiment="2b", method="chunker"), success=0),
    ]


def _long():
    printed = {(50, 50): 30, (100, 100): 31, (200, 200): 33, (500, 500): 38, (1000, 1000): 49, (1000, 500): 49, (1000, 200): 75,
               (1000, 100): 135, (1000, 50): 203}
    return [
        _row("3", f"LSTM, q {q}, p {p}",
             Setting("2c", q=q, p=p, units=2, blocks=2, alpha=0.01, reach=0.2, budget=5000 * after, recurrent=False),
             sequences=1000 * after, trials=20, weights=6 * (p + 10) + 4)
        for (q, p), after in printed.items()
    ]


def _two_sequences():
    gates = {"input_gates": (-1, -3, -5), "output_gates": (-2, -4, -6)}

    def lstm(table, experiment, T, N, st1, after, wrong, alpha=1.0):
        setting = Setting(experiment, T=T, N=N, units=3, blocks=3, alpha=alpha, biases=HIDDEN, budget=5 * after, **gates)
        return _row(table, f"LSTM, T {T}, N {N}", setting, sequences=after, wrong=wrong, trials=10, weights=102,
                    **({"st1": st1} if st1 else {}))

    return [
        lstm("4", "3a", 100, 3, 27_380, 39_850, 0.000195), lstm("4", "3a", 100, 1, 58_370, 64_330, 0.000117),
        lstm("4", "3a", 1000, 3, 446_850, 452_460, 0.000078),
        lstm("5", "3b", 100, 3, 41_740, 43_250, 0.00828), lstm("5", "3b", 100, 1, 74_950, 78_430, 0.01500),
        lstm("5", "3b", 1000, 1, 481_060, 485_080, 0.01207),
        lstm("6", "3c", 100, 3, None, 269_650, 0.00558, 0.1), lstm("6", "3c", 100, 1, None, 565_640, 0.00441, 0.1),
    ]


def _numbers_and_order():
    base = Setting("4", T=100, units=4, blocks=2, alpha=0.5, biases=HIDDEN, input_gates=(-3, -6), output="linear")
    adding = [
        _row("7", f"LSTM, T {T}", replace(base, T=T, budget=5 * after), sequences=after, wrong=wrong / 2560, trials=10, weights=93)
        for T, after, wrong in ((100, 74_000, 1), (500, 209_000, 0), (1000, 853_000, 1))
    ]
    multiplication = [
        _row("8", f"LSTM, T 100, n_seq {n_seq}", replace(base, experiment="5", alpha=0.1, input_gates=(), n_seq=n_seq, budget=5 * after),
             sequences=after, wrong=wrong / 2560, trials=10, weights=93)
        for n_seq, after, wrong in ((140, 482_000, 139), (13, 1_273_000, 14))
    ]
    order = [
        _row("9", f"LSTM, {2 + (e == '6b')} symbols", Setting(
            e, units=units, blocks=units // 2, alpha=alpha, biases=ALL, input_gates=gates, budget=5 * after),
            sequences=after, wrong=wrong / 2560, trials=trials, weights=weights)
        for e, units, alpha, gates, after, wrong, trials, weights in (
            ("6a", 4, 0.5, (-2, -4), 31_390, 1, 20, 156), ("6b", 6, 0.1, (-2, -4, -6), 571_100, 2, 10, 308))
    ]
    return [*adding, *multiplication, *order]


ROWS = (*_reber(), *_local(), *_long(), *_two_sequences(), *_numbers_and_order())


def rows(experiment="all"):
    """The rows of an experiment, e.g. "2c", or of all."""
    found = [row for row in ROWS if experiment in ("all", row.experiment)]
    if not found:
        raise ValueError(f"no experiment {experiment!r}; experiments are {', '.join(dict.fromkeys(r.experiment for r in ROWS))}, or all")
    return found
