"""Train nets of experiments 4 and 6a of 1997: `python reports/nets/experiments.py` (a minute; NAME.npz, NAME.io.npz, experiments.json).

adding_1997, order_1997                 as in Tables 7 and 9, output-gate biases random
adding_1997_gates, order_1997_gates     with output-gate biases that start at -2 and -4, the remedy against abused cells
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from flowcheck.experiments.settings import ALL
from flowcheck.experiments.tables import rows
from flowcheck.experiments.trials import Trial
from flowcheck.formats import write_npz

HERE = Path(__file__).parent
SEED, SHOWN = 0, 8
READING = {"4": {"enter": "net_k", "output": "sigma", "biases": ALL, "budget": 800_000}, "6a": {}}
"""Without the slope of the output unit, errors at the ends of its range shrink soon enough; otherwise the paper's numbers."""


def trained(setting):
    """(Network, outcome) of one trial."""
    trial = Trial(setting, SEED)
    outcome = trial.run()
    return trial.network(), outcome, trial


def inputs(trial):
    """(batch, time, inputs) of sequences of one length."""
    sequences = trial.draw(400)
    same = np.flatnonzero(sequences.lengths == sequences.lengths[0])[:SHOWN]
    x = np.stack([sequences.one(n)[0] for n in same])
    return np.eye(trial.inputs)[x] if x.ndim == 2 else x


def main():
    known = {}
    for name, experiment in (("adding_1997", "4"), ("order_1997", "6a")):
        for words, gates in (("", ()), ("_gates", (-2, -4))):
            setting = replace(rows(experiment)[0].setting, output_gates=gates, **READING[experiment])
            network, outcome, trial = trained(setting)
            x = inputs(trial)
            h = network.layers[0].run(x.transpose(1, 0, 2))["y"].transpose(1, 0, 2)
            write_npz(network, HERE / f"{name}{words}.npz")
            np.savez_compressed(HERE / f"{name}{words}.io.npz", **{"cells.x": x.astype(np.float32), "cells.h": h})
            del outcome["cpu_seconds"], outcome["seconds"]
            known[f"{name}{words}"] = {"setting": setting.as_json(), "seed": SEED, "outcome": outcome}
            print(f"{name}{words}: {'solved' if outcome['success'] else 'not solved'} after {outcome['sequences']} sequences, "
                  f"{outcome['wrong']} of 2560 wrong")
    (HERE / "experiments.json").write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
