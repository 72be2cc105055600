"""torch: an nn.Module, an autograd.Function or a function of tensors in the plain form."""

import contextlib

import numpy as np

from .plain import PlainForm, arguments, flatten, group, one_line_errors, promoted, rebuild, with_jvp

__all__ = ["from_torch", "plain_form"]


def from_torch(function, *args, params=(), state=(), time_axis=None, **options):
    """The plain form of a torch.nn.Module, an autograd.Function class, or a function of tensors, at example arguments.

    forward    the function itself in float64, or complex128 when given complex numbers; the module given is not changed
    backward   torch.autograd.grad, so a backward written by hand in an autograd.Function is what gets checked
    params     names of arguments that are weights; the trainable parameters of a module are weights without being named
    state      names of arguments that are initial states; those of torch.nn.RNN, GRU, LSTM are known
    time_axis  a number, or a dict by entry; for torch.nn.RNN, GRU, LSTM it is known

    Entries are named by the arguments of `forward`, items of nested ones with a dot: "hx.0", "hx.1". Outputs are "output", or "output.0"
    and so on; those of torch.nn.RNN, GRU, LSTM "output", "h_n", "c_n". Further keywords are kept as options for check_gradient.
    Raises ValueError for names that are no arguments.
    """
    import torch

    module = function if isinstance(function, torch.nn.Module) else None
    rnn = isinstance(module, torch.nn.RNNBase)
    written, skip = _written_by_the_user(function)
    given = arguments(written, args, skip)
    if rnn:
        state = [n for n in given if n == "hx"]
        time_axis = _rnn_time_axis(module, args[0]) if time_axis is None else time_axis
    own = {} if module is None else dict(module.named_parameters())
    fixed = {} if module is None else {n: p for n, p in own.items() if not p.requires_grad} | dict(module.named_buffers())
    weights = {n: p.detach().cpu().numpy() for n, p in own.items() if p.requires_grad}
    named = {n: {k: v.detach().cpu().numpy() for k, v in flatten(a, n, torch.is_tensor).items()} for n, a in given.items()}
    declared, inputs, state0 = group(named, params, state)
    run = function.apply if _is_function(function) else function

    def call(values):
        """Outputs {name: tensor} at {entry: tensor}."""
        rebuilt = [rebuild(a, n, values, torch.is_tensor) for n, a in given.items()]
        if module is None:
            return flatten(run(*rebuilt), "output", torch.is_tensor)
        kind = torch.complex128 if any(v.is_complex() for v in values.values()) else torch.float64
        constant = {n: t.detach().clone().to(kind if t.is_floating_point() else t.dtype) for n, t in fixed.items()}
        result = torch.func.functional_call(module, constant | {n: values[n] for n in weights}, tuple(rebuilt))
        outputs = flatten(result, "output", torch.is_tensor)
        return dict(zip(("output", "h_n", "c_n"), outputs.values(), strict=False)) if rnn else outputs

    groups = weights | declared, inputs, state0
    source = function if _is_function(function) else _hand_written(call, *groups) or (function if module is None else type(module))
    return plain_form(call, groups, options | ({} if time_axis is None else {"time_axis": time_axis}), source)


def plain_form(call, groups, options, source):
    """The PlainForm of call({entry: tensor}) -> {output: tensor}, with a forward mode if it can."""
    import torch
    from torch.autograd import forward_ad

    def forward(params, inputs, state0):
        with _double_precision(), torch.no_grad(), _every_warning(), one_line_errors(params, inputs, state0):
            return {n: t.resolve_conj().numpy() for n, t in call(_tensors(params, inputs, state0)).items()}

    def backward(params, inputs, state0, grad_outputs):
        with _double_precision(), torch.enable_grad(), one_line_errors():
            leaves = _tensors(params, inputs, state0)
            entries = {n: t.requires_grad_() for n, t in leaves.items() if t.is_floating_point()}
            reached = {n: t for n, t in call(leaves).items() if t.requires_grad and n in grad_outputs}
            seeds = [torch.as_tensor(grad_outputs[n], dtype=t.dtype) for n, t in reached.items()]
            grads = [None] * len(entries)
            if reached:
                grads = torch.autograd.grad([*reached.values()], [*entries.values()], seeds, allow_unused=True)
            return {n: (torch.zeros_like(t) if g is None else g).detach().numpy() for (n, t), g in zip(entries.items(), grads, strict=True)}

    def perturbed(params, inputs, state0, grad_outputs, moved):
        with _perturbed_results(moved):
            return backward(params, inputs, state0, grad_outputs)

    backward.perturbed = perturbed

    def jvp(params, inputs, state0, tangents):
        leaves = _tensors(params, inputs, state0)
        with _double_precision(), forward_ad.dual_level():
            duals = {n: forward_ad.make_dual(leaves[n], torch.as_tensor(v, dtype=torch.float64)) for n, v in tangents.items()}
            moved = {n: forward_ad.unpack_dual(y) for n, y in call(leaves | duals).items() if y.is_floating_point()}
            return {n: np.zeros(y.primal.shape) if y.tangent is None else y.tangent.detach().numpy() for n, y in moved.items()}

    return with_jvp(PlainForm(forward, backward, *groups, options, source), jvp)


def _is_function(function):
    import torch

    return isinstance(function, type) and issubclass(function, torch.autograd.Function)


def _written_by_the_user(function):
    """(the function whose arguments name the entries, how many of its first ones are not the user's: 1 where forward takes ctx)"""
    import torch

    if not _is_function(function):
        return (function.forward if isinstance(function, torch.nn.Module) else function), 0
    return function.forward, int(function.setup_context is torch.autograd.Function.setup_context)


def _rnn_time_axis(module, example):
    axis = 1 if module.batch_first and example.dim() == 3 else 0
    return {"input": axis, "output": axis, "h_n": None, "c_n": None}


def _hand_written(call, *groups):
    """The first autograd.Function of the user's in the graph of the outputs, or None: whose backward a finding is about."""
    import torch

    with _double_precision(), torch.enable_grad():
        outputs = call({n: t.requires_grad_() if t.is_floating_point() else t for n, t in _tensors(*groups).items()})
    waiting, seen = [t.grad_fn for t in outputs.values() if t.grad_fn is not None], set()
    while waiting:
        node = waiting.pop()
        if found := getattr(node, "_forward_cls", None):
            return found
        seen.add(node)
        waiting += [after for after, _ in node.next_functions if after is not None and after not in seen]
    return None


def _tensors(*groups):
    import torch

    return {n: torch.tensor(a) for n, a in promoted({n: a for group in groups for n, a in group.items()}).items()}


def _perturbed_results(moved):
    """A context in which the result of every operation is handed to moved(array); views of an argument are no results."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves, tree_map_only

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), options=None):
            given = [a for a in tree_leaves((args, options)) if torch.is_tensor(a)]
            places = {a.untyped_storage().data_ptr() for a in given}

            def perturb(tensor):
                shares = tensor.untyped_storage().data_ptr() in places
                if not tensor.is_floating_point() or shares and not operation._schema.is_mutable:
                    return tensor
                value = torch.from_numpy(np.array(moved(tensor.detach().numpy())))
                return tensor.copy_(value) if shares else value

            return tree_map_only(torch.Tensor, perturb, operation(*args, **(options or {})))

    return Mode()


@contextlib.contextmanager
def _every_warning():
    """torch warns once a process that an imaginary part is lost; here each time."""
    import torch

    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        yield
    finally:
        torch.set_warn_always(before)


@contextlib.contextmanager
def _double_precision():
    """Tensors that the function makes for itself (a zero state) are float64, too."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
