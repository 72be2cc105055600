"""Unused recurrence: a layer whose memory carries nothing. Started anew at every step from its mean state, it gives the same outputs."""


from .effects import effect, read_by
from .finding import Finding, Threshold

RULE = "unused-recurrence"
EFFECT = Threshold(0.01, "set here: 1 % of the natural variation of what reads the layer; 54 untrained tanh, LSTM and GRU nets lie "
                         "above 50 %")


def detect(context):
    """Every step by itself, from the mean of each state over time and sequences, against the run as it was."""
    run = context.pooled[0]
    trajectory, cell = run.trajectory, context.cell
    start = {old: trajectory[new].mean(axis=(0, 1)) for old, new in context.kernel.states.items()}
    y = trajectory[cell.output.name]

    def changes(first=32):
        at, length = 0, first
        while at < len(y):
            single = {name: x[at:at + length].reshape(1, -1, x.shape[-1]) for name, x in trajectory.inputs.items()}
            forgetful = context.kernel.forward(context.layer.params, single, start)[cell.output.name]
            yield forgetful.reshape(-1, *y.shape[1:]) - y[at:at + length]
            at, length = at + length, min(2 * length, 256)

    lost = effect(context, run, changes(), enough=EFFECT.value)
    if not lost < EFFECT.value or y.shape[0] < 2:
        return []
    evidence = {"effect_without_memory": lost, "read_by": read_by(context), "sequences": trajectory.batch, "steps": trajectory.steps}
    words = f"run from its mean state at every step it gives the same outputs ({lost:.1g}): its memory carries nothing on these inputs"
    remedy = ("if the task needs the past: look at the error flow, raise forget or update biases, and feed sequences longer than the lag "
              "needed; if not, a feed-forward layer does the same for less")
    return [Finding(RULE, context.layer.name, None, "warning", evidence, EFFECT.value, EFFECT.source, remedy, words)]
