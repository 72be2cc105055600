"""What the recurrent layers of a torch module are fed while it runs once: hooks on the layers, their inputs, states and outputs.

Hooks see a fused kernel's inputs and outputs, which is all that a replay needs; compiled code runs eagerly meanwhile.
"""

import contextlib
from dataclasses import dataclass, field
from functools import cache

import numpy as np

__all__ = ["Call", "Used", "captured", "goes_on"]


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
    """A recurrent module by its name in the whole, and its calls in order.

    through   whether errors pass from a step of a Cell to the step before; not while the errors at its own outputs are asked for
    """

    name: str
    module: object
    calls: list = field(default_factory=list)
    through: bool = True

    @property
    def is_cell(self):
        """Whether each call is one step."""
        return not hasattr(self.module, "num_layers")


def captured(module, inputs, loss=None):
    """[Used] of every recurrent module that ran, in the order of their first calls; with `loss`(what the module gives) also their errors.

    Raises TypeError for what is no torch module, ValueError for a module without recurrent layers, where none ran, and for a loss that is
    no single number or that no recurrent layer has a part in.
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
        if loss is not None and used.is_cell:
            handles.append(part.register_forward_pre_hook(lambda part, args, kwargs, used=used: _switched(used, args, kwargs),
                                                          with_kwargs=True))
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
    """Sets the error of every call: dE/d output, less what the layer sends to itself.

    cuDNN is off, as it refuses a backward pass in eval mode.
    """
    import torch

    if not torch.is_tensor(energy) or energy.numel() != 1:
        got = f"a tensor of shape {tuple(energy.shape)}" if torch.is_tensor(energy) else type(energy).__name__
        raise ValueError(f"expected one number from the loss, got {got}")
    for one in used:
        outputs = [call.output.data if hasattr(call.output, "batch_sizes") else call.output for call in one.calls]
        if not energy.requires_grad or not all(out.requires_grad for out in outputs):
            raise ValueError("the loss does not depend on the weights of the recurrent layers: they are frozen, or their output is "
                             "detached")
        one.through = False
        errors = torch.autograd.grad(energy, outputs, allow_unused=True, retain_graph=True)
        one.through = True
        for call, out, error in zip(one.calls, outputs, errors, strict=True):
            error = torch.zeros_like(out) if error is None else error
            packed = hasattr(call.output, "batch_sizes")
            call.error = call.output._replace(data=error) if packed else error


def goes_on(before, states):
    """Whether a Cell's call that gets these states goes on where the call before ended."""
    return before is not None and states is not None and all(
        a.shape == b.shape and bool((a == b).all()) for a, b in zip(states, before.final, strict=True))


def _switched(used, args, kwargs):
    """The arguments of a Cell's call with states through which errors pass back only while `used.through`, where the call goes on."""
    given = dict(zip(("input", "hx"), args, strict=False)) | kwargs
    states = given.get("hx")
    if not goes_on(used.calls[-1] if used.calls else None, states if states is None or isinstance(states, tuple) else (states,)):
        return None
    switch = _switch()
    given["hx"] = tuple(switch.apply(s, used) for s in states) if isinstance(states, tuple) else switch.apply(states, used)
    return (given.pop("input"),), given


@cache
def _switch():
    """The identity, through which errors pass back only while the layer lets them."""
    import torch

    class Switch(torch.autograd.Function):
        @staticmethod
        def forward(ctx, state, used):
            ctx.used = used
            return state.view_as(state)

        @staticmethod
        def backward(ctx, error):
            return error if ctx.used.through else None, None

    return Switch


def _run(module, inputs):
    if isinstance(inputs, dict):
        return module(**{name: _tensor(value, module) for name, value in inputs.items()})
    several = isinstance(inputs, (tuple, list)) and not hasattr(inputs, "batch_sizes")
    return module(*(_tensor(value, module) for value in (inputs if several else [inputs])))


def _tensor(value, module):
    """An array as a tensor where the module's weights are, numbers that are not whole in their type; anything else as it is."""
    import torch

    if not isinstance(value, np.ndarray):
        return value
    tensor, like = torch.tensor(value), next(module.parameters())
    return tensor.to(like.device, like.dtype if tensor.is_floating_point() else None)


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
