"""Adapters: a torch module or autograd.Function, a JAX function, a Keras layer as the plain form that `check_gradient` takes.

The forward pass runs in double precision (and in complex numbers where its operations can); the backward pass is the framework's own
reverse mode, so that a hand-written backward inside it is what gets checked. A framework is imported only when it is used.
"""

from .jax_adapter import from_jax
from .keras_adapter import from_keras
from .plain import PlainForm
from .torch_adapter import from_torch

__all__ = ["PlainForm", "from_jax", "from_keras", "from_torch"]
