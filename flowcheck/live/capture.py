"""What the recurrent layers of a torch module are fed while it runs once: hooks on the layers, their inputs, states and outputs.

Hooks see a fused kernel's inputs and outputs, which is all that a replay needs; compiled code runs eagerly meanwhile.
"""

import contextlib
from dataclasses import dataclass, field

__all__ = ["Call", "Used", "captured"]


@dataclass
class Call:
    """One call of a recurrent module: input, initial states (h,) or (h, c) or None, output (h for a Cell), all tensors.

    error is dE/d output, in the form of the output, where a loss was given.
    """

    x: object
    states: tuple | None
    output: object
    final: tuple
    error: object = None


@dataclass
class Used:
    """A recurrent module by its name in the whole, and its calls in order."""

    name: str
    module: object
    calls: list = field(default_factory=list)


def captured(module, inputs, loss=None):
    """[Used] of every recurrent module that ran, in the order of their first calls; with `loss`(what the module gives) also their errors.

    Raises TypeError for what is no torch module, ValueError for a module without recurrent layers, where none ran, and for a loss that is
    no single number, that no recurrent layer has a part in, or that reaches Cells.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got {type(module).__name__}; diagnose a file with the command flowcheck diagnose")
    kinds = torch.nn.RNNBase, torch.nn.RNNCellBase
    recurrent = [(name, part) for name, part in module.named_modules() if isinstance(part, kinds)]
    if not recurrent:
        raise ValueError(f"{type(module).__name__} has no recurrent layer: expected torch.nn.RNN, LSTM, GRU or their Cells in it")
    order, handles = {}, []
    for name, part in recurrent:
        used = Used(name, part)

        def hook(part, args, kwargs, output, used=used):
            order.setdefault(used.name, used).calls.append(_call(part, args, kwargs, output))

        handles.append(part.register_forward_hook(hook, with_kwargs=True))
    try:
        with _eval_mode(module), _eager(), torch.set_grad_enabled(loss is not None), torch.backends.cudnn.flags(enabled=loss is None):
            given = _run(module, inputs)
            if loss is not None:
                _errors(loss(given), [*order.values()])
    finally:
        for handle in handles:
            handle.remove()
    if not order:
        names = ", ".join(name or "itself" for name, _ in recurrent[:4])
        raise ValueError(f"{type(module).__name__} has recurrent layers ({names}), but none was called on these inputs; call it as in "
                         "training")
    return [*order.values()]


def _errors(energy, used):
    """Sets the error of every call: dE/d output. cuDNN is off, as it refuses a backward pass in eval mode."""
    import torch

    if any(not hasattr(one.module, "num_layers") for one in used):
        raise ValueError("a loss is followed into torch.nn.RNN, LSTM and GRU, but not into their Cells, where a step's output is also the "
                         "next one's input; leave the loss out")
    if not torch.is_tensor(energy) or energy.numel() != 1:
        got = f"a tensor of shape {tuple(energy.shape)}" if torch.is_tensor(energy) else type(energy).__name__
        raise ValueError(f"expected one number from the loss, got {got}")
    calls = [call for one in used for call in one.calls]
    outputs = [call.output.data if hasattr(call.output, "batch_sizes") else call.output for call in calls]
    if not energy.requires_grad or not all(out.requires_grad for out in outputs):
        raise ValueError("the loss does not depend on the weights of the recurrent layers: they are frozen, or their output is detached")
    for call, out, error in zip(calls, outputs, torch.autograd.grad(energy, outputs, allow_unused=True), strict=True):
        error = torch.zeros_like(out) if error is None else error
        packed = hasattr(call.output, "batch_sizes")
        call.error = call.output._replace(data=error) if packed else error


def _run(module, inputs):
    if isinstance(inputs, dict):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, (tuple, list)) and not hasattr(inputs, "batch_sizes") else module(inputs)


def _call(part, args, kwargs, output):
    given = dict(zip(("input", "hx"), args, strict=False)) | kwargs
    x, states = given["input"], given.get("hx")
    states = states if states is None or isinstance(states, tuple) else (states,)
    if hasattr(part, "num_layers"):
        out, final = output
        return Call(x, states, out, final if isinstance(final, tuple) else (final,))
    final = output if isinstance(output, tuple) else (output,)
    return Call(x, states, final[0], final)


@contextlib.contextmanager
def _eval_mode(module):
    """Dropout and the like off; every part gets its own mode back."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def _eager():
    """Compiled modules run their Python code, so that hooks placed now are called."""
    import torch

    return torch.compiler.set_stance("force_eager") if hasattr(torch.compiler, "set_stance") else contextlib.nullcontext()
