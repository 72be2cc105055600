"""Other ways to write a forward and a backward pass, turned into the two functions that the gradient check takes.

Single-step functions, one function for loss and gradient, classes that keep their gradients or apply them. What is turned is declared,
never guessed. Each returns (forward, backward); a finding points to the user's function behind `backward`.
"""

import numpy as np

__all__ = ["from_class", "from_loss_and_gradient", "from_step"]


def from_step(step, step_backward, state_names):
    """A sequence pass from a single-step function and its backward pass; the loop over time is this one, not the user's.

        step(params, inputs_t, state) -> (outputs_t, new state)                 dicts of arrays
        step_backward(params, inputs_t, state, grad_outputs_t, grad_new_state) -> {entry of params, inputs or state: gradient}

    `state_names` are the keys of the state. Inputs and outputs are time-first.
    """
    def forward(params, inputs, state0):
        return _outputs(*_loop(params, inputs, state0))

    def _loop(params, inputs, state0):
        state, states, outputs = dict(state0), [], []
        for t in range(_length(inputs)):
            states.append(state)
            out, state = step(params, {k: v[t] for k, v in inputs.items()}, state)
            outputs.append(out)
        return states, outputs

    def _outputs(states, outputs):
        return {k: np.stack([o[k] for o in outputs]) for k in outputs[0]}

    def backward(params, inputs, state0, grad_outputs):
        states, _ = _loop(params, inputs, state0)
        totals = {k: 0.0 for k in params}
        per_step = {k: [None] * len(states) for k in inputs}
        carried = {k: np.zeros_like(state0[k]) for k in state_names}
        for t in range(len(states) - 1, -1, -1):
            errors = {k: g[t] for k, g in grad_outputs.items()}
            grads = step_backward(params, {k: v[t] for k, v in inputs.items()}, states[t], errors, carried)
            totals = {k: None if grads.get(k) is None or totals[k] is None else totals[k] + grads[k] for k in totals}
            for k in inputs:
                per_step[k][t] = grads.get(k)
            carried = {k: grads[k] for k in state_names}
        over_time = {k: np.stack(v) for k, v in per_step.items() if all(g is not None for g in v)}
        return totals | over_time | carried

    backward.__wrapped__ = step_backward
    return forward, backward


def from_loss_and_gradient(function):
    """Two passes from one function(params, inputs, state0) -> (loss, {entry: gradient}).

    The loss is one number, so that errors cannot be sent from single steps: entries are compared step by step, lags stay summed.
    """
    def forward(params, inputs, state0):
        return {"loss": np.asarray(function(params, inputs, state0)[0])}

    def backward(params, inputs, state0, grad_outputs):
        grads = function(params, inputs, state0)[1]
        return {k: None if g is None else np.asarray(g) * grad_outputs["loss"] for k, g in grads.items()}

    backward.__wrapped__ = function
    return forward, backward


def from_class(make, gradients, *, output="y", accumulated=False, rate=None):
    """Two passes from a class with forward(inputs, state0) and backward(grad_outputs) that leaves its gradients on itself.

        make(params) -> object      with the parameters as attributes of the same names

    gradients     {entry: name of the attribute that holds its gradient after backward}
    accumulated   the attributes add up over calls: their change is the gradient
    rate          backward also applies the gradients, params -= rate * gradient: entries not in `gradients` are read from that change
    """
    def forward(params, inputs, state0):
        found = make(_copied(params)).forward(_copied(inputs), _copied(state0))
        return found if isinstance(found, dict) else {output: np.asarray(found)}

    def backward(params, inputs, state0, grad_outputs):
        net = make(_copied(params))
        net.forward(_copied(inputs), _copied(state0))
        before = {k: np.array(getattr(net, name, 0.0) if getattr(net, name, None) is not None else 0.0) for k, name in gradients.items()}
        returned = net.backward(grad_outputs if len(grad_outputs) > 1 else next(iter(grad_outputs.values())))
        found = {k: None if getattr(net, name) is None else np.array(getattr(net, name)) - (before[k] if accumulated else 0.0)
                 for k, name in gradients.items()}
        if rate is not None:
            found |= {k: (v - getattr(net, k)) / rate for k, v in params.items() if k not in gradients}
        return found | (returned if isinstance(returned, dict) else {})

    backward.__wrapped__ = getattr(make, "backward", make)
    return forward, backward


def _length(inputs):
    return len(next(iter(inputs.values())))


def _copied(arrays):
    return {k: np.array(v, subok=True) for k, v in arrays.items()}
