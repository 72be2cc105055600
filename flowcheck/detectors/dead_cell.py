"""Dead cells: units that do nothing. Set to zero, nothing that reads them changes, because they never leave zero or nobody reads them."""

import numpy as np

from .effects import effects_of_holding, least_effects, read_by
from .finding import Finding, Threshold

RULE = "dead-cell"
EFFECT = Threshold(0.001, "set here: 0.1 % of the natural variation of what reads the cell; the least seen for any unit of 54 untrained "
                          "tanh, LSTM and GRU nets of 16 to 128 units is 1.5 %")


def detect(context):
    """Set to zero each unit whose first-order effect is small, in all sequences as long as the first (see `effects`)."""
    run = context.pooled[0]
    y = run.trajectory[context.cell.output.name]
    candidates = np.flatnonzero(least_effects(context, run, np.sqrt(np.mean(y**2, axis=(0, 1)))) < EFFECT.value)
    effects = effects_of_holding(context, run, candidates, np.zeros(len(candidates)), EFFECT.value)
    typical = np.sqrt(np.mean(y**2))
    findings = []
    for unit, zeroed in zip(candidates, effects.tolist(), strict=True):
        if zeroed < EFFECT.value:
            size = float(np.sqrt(np.mean(y[..., unit]**2)))
            silent = size <= EFFECT.value * typical
            seen = f"moves ({size:.2g})" if np.std(y[..., unit]) > EFFECT.value * size else f"stays at {y[..., unit].mean():.2g}"
            evidence = {"effect_set_to_zero": zeroed, "root_mean_square": size, "layer_root_mean_square": float(typical),
                        "cause": "silent" if silent else "unread", "read_by": read_by(context), "sequences": run.trajectory.batch,
                        "lost": True}
            words = (f"set to zero it changes nothing ({zeroed:.1g}): " +
                     ("it never leaves zero" if silent else f"it {seen}, but nothing reads it"))
            findings.append(Finding(RULE, context.layer.name, int(unit), "info", evidence, EFFECT.value, EFFECT.source, _remedy(silent),
                                    words))
    return findings


def _remedy(silent):
    if silent:
        return ("remove it, or bring it back: reset its input weights and biases to fresh values and train on; a smaller learning rate or "
                "clipped gradients keep units from being thrown out of range")
    return "remove it: no weight that reads it matters; or give it fresh outgoing weights and train on"
