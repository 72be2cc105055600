"""flowcheck: gradient flow in recurrent nets. Derive it, verify it, measure it, diagnose trained nets.

The names below are the public ones; each is loaded on first use, so that importing flowcheck costs nothing.
"""

from importlib import import_module

_PUBLIC = {
    "Cell": "equations", "CellClaim": "equations", "EquationError": "equations", "Layout": "equations", "Net": "equations",
    "Unit": "equations",
    "catalogue": "cells", "compile_cell": "kernels", "compile_loops": "compiled", "Layer": "network", "Network": "network",
    "bptt": "gradients", "rtrl": "sensitivity", "truncated_1997": "gradients", "truncated_bptt": "gradients",
    "bounds": "flow", "error_flow": "flow", "path_flows": "flow", "state_flow": "flow", "exponents": "flow.lyapunov",
    "pair_flows": "flow.pairs", "probe_flow": "flow.probes", "rate": "flow.rates", "spectral_norms": "flow.spectra",
    "streamed_probes": "flow.probes",
    "complex_step": "oracles", "high_precision": "oracles",
    "Finding": "verify", "Implementation": "verify", "Mismatch": "verify", "Verification": "verify", "check_cell": "verify",
    "check_gradient": "gradcheck", "verify_gradient": "gradcheck",
    "clipped": "verify", "direction": "verify", "stochastic": "verify", "truncated": "verify", "up_to_scale": "verify",
    "load": "formats", "diagnose": "live",
    "from_jax": "adapters", "from_keras": "adapters", "from_torch": "adapters",
}

__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'flowcheck' has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__():
    return __all__
