"""The JSON documents that flowcheck prints: one function per schema, from results to plain dicts.

Each has a `schema` key and a JSON Schema in `schemas/`; that is a promise to whoever reads them. Numbers are JSON numbers; what is
not finite (the log of a flow that is exactly zero) is null.
"""

import json
from importlib.resources import files

import numpy as np

from .. import symbolic
from ..measure import Measured
from .derivations import proof_steps

__all__ = [
    "abuse", "cells", "comparison", "derivations", "diagnosis", "dumps", "experiments", "flow_entry", "measurement", "report", "runs",
    "schema", "verification",
]


def schema(name):
    """The JSON Schema of a document, e.g. "flowcheck.flow/1"; what its file refers to in the files of others is put in its place."""
    return _bundled(_schema_file(f"{name.replace('/', '-')}.schema.json"))


def _schema_file(name):
    return json.loads((files(__package__) / "schemas" / name).read_text())


def _bundled(part):
    if isinstance(part, list):
        return [_bundled(each) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        name, _, pointer = part["$ref"].partition("#")
        found = _schema_file(name)
        for key in pointer.split("/")[1:]:
            found = found[key]
        return _bundled({key: value for key, value in found.items() if key != "$schema"})
    return {key: _bundled(value) for key, value in part.items()}


def dumps(document):
    """JSON text of a document; refuses NaN and infinity."""
    return json.dumps(document, indent=1, allow_nan=False)


def cells(catalogue, measured, lags):
    """flowcheck.cells/1; `measured` {name: [Check] of each claim}, over `lags` lags."""
    return {"schema": "flowcheck.cells/1", "claims_measured_at_lags": lags, "cells": [{
        "name": cell.name, "source": cell.source, "year": cell.year,
        "states": [new.name for new in cell.state.values()],
        "parameters": [*cell.parameters],
        "lengths": dict(cell.lengths),
        "recurrent_edges": sorted(str(e) for e in cell.recurrent_edges),
        "equations": [symbolic.equation_latex(e, cell) for e in cell.equations],
        "step_jacobian": [{"to": new, "from": old, "formula": symbolic.sum_of_products(products)}
                          for (new, old), products in symbolic.step_jacobian(cell).items()],
        "claims": [{
            "kind": c.kind, "state": c.state, "text": c.text, "closed_form": symbolic.closed_form(c, cell),
            "measured": {"verdict": m.verdict, "error": m.as_json()["error"], "tolerance": m.as_json()["tolerance"]},
        } for c, m in zip(cell.claims, measured[cell.name], strict=True)],
    } for cell in catalogue.values()]}


def derivations(results):
    """flowcheck.derivations/1, from (claim, proof error or None)."""
    return {"schema": "flowcheck.derivations/1", "equations": [{
        "id": claim.id, "journal": claim.journal, "section": claim.section, "title": claim.title, "status": claim.status,
        "proof": "failed" if error else claim.proof_status, "printed": claim.printed_latex, "derived": claim.derived_latex,
        "note": claim.note or "", "counterexample": claim.counterexample.words if claim.counterexample else "",
        "assumptions": list(claim.assumptions), "error": error or "",
        "steps": [{"kind": kind, "words": fact.words, "shows": claim.latex_of(fact), "by": list(because)}
                  for kind, fact, because in proof_steps(claim)],
    } for claim, error in results]}


def verification(checks):
    """flowcheck.verification/1"""
    return {"schema": "flowcheck.verification/1", "checks": [c.as_json() for c in checks]}


def flow_entry(measured):
    """One entry of "flows"."""
    flow, rate = measured.flow, measured.rate
    return {
        "layer": flow.layer, "quantity": flow.quantity, "gradient": flow.gradient, "norm": "frobenius",
        "sequences": len(flow.log10_norm), "sequences_left_out": np.flatnonzero(~flow.kept).tolist(),
        "lags": flow.lags.tolist(), "log10_norm": _numbers(flow.pooled),
        "log10_norm_at_lag_0": _number(flow.log10_norm0),
        "log10_largest_entry": _numbers(flow.log10_entry.max(axis=0)), "log10_rounding_floor": _numbers(flow.log10_floor.max(axis=0)),
        "log10_bounds": {name: _numbers(values) for name, values in flow.bounds.items()},
        "rate_per_step": rate.per_step, "rate_interval": None if rate.interval is None else list(rate.interval),
        "rate_unit": "log10 per step",
        "rate_lags": None if rate.fitted is None else list(rate.fitted),
        "half_life": rate.half_life, "horizon": rate.horizon, "verdict": rate.verdict,
        **({} if measured.rounding_error is None else {"rounding_error": _number(measured.rounding_error)}),
        **({} if measured.probes is None else {"random_vectors": measured.probes}),
    }


def measurement(network, measured, inputs, seed, device=None, further=None):
    """flowcheck.flow/1; `inputs` says in words what the flows were measured on, `device` the tensors.Device if not NumPy.

    `further` {key: [entry]} of what was asked for beside the flows.
    """
    where = {} if device is None else {"device": device.name, "dtype": device.dtype}
    where |= {"net": _net(network)} if network.sha256 else {}
    return {"schema": "flowcheck.flow/1", "target": network.source, "sha256": network.sha256 or None, "inputs": inputs, "seed": seed,
            **where, "flows": [flow_entry(m) for m in measured],
            **{key: [_finite(e) for e in entries] for key, entries in (further or {}).items()}}


def diagnosis(result, inputs):
    """flowcheck.diagnosis/1"""
    network = result.network
    return {
        "schema": "flowcheck.diagnosis/1",
        "net": _net(network),
        "inputs": inputs,
        "flows": [flow_entry(m) for m in result.measured],
        "findings": [f.as_json() for f in result.findings],
        **({} if result.trials is None else {"remedies": [_finite(t.as_json()) for t in result.trials]}),
    }


def runs(rows, store):
    """flowcheck.runs/1, from (net, error, document) of every net measured."""
    return {"schema": "flowcheck.runs/1", "store": str(store), "nets": [
        {"net": net, "error": error, "document": document} for net, error, document in rows]}


def abuse(outcomes, study, measures, store):
    """flowcheck.abuse/1; `study` as experiments.remedies.study gives it of `outcomes` {experiment: {condition: [outcome by seed]}}."""
    nets = [{"experiment": e, "condition": name, **{k: o[k] for k in ("seed", "success", "sequences", "wrong", "looks")}}
            for e, found in outcomes.items() for name, trials in found.items() for o in trials]
    return {"schema": "flowcheck.abuse/1", "store": str(store), "measures": measures, "experiments": study, "nets": nets}


def experiments(rows, store):
    """flowcheck.experiments/1; `rows` as experiments.compared.entries gives them."""
    return {"schema": "flowcheck.experiments/1", "store": str(store), "rows": rows}


def report(command, curves, derived, bounds, diagnosis=None, inputs=""):
    """flowcheck.report/1: what the page shows; `bounds` is {claim id: in words, how near flows come to that bound}."""
    return {
        "schema": "flowcheck.report/1", "command": command,
        "curves": [{"label": c.label, "words": c.words, "flow": flow_entry(c.measured)} for c in curves],
        "derivations": derivations(derived), "bounds": bounds,
        "diagnosis": None if diagnosis is None else _diagnosis(diagnosis, inputs),
    }


def comparison(command, compared):
    """flowcheck.comparison/1: the catalogue side by side."""
    return {"schema": "flowcheck.comparison/1", "command": command, "cells": [{
        "name": c.cell.name, "source": c.cell.source, "year": c.cell.year, "verdict": c.verdict,
        "flow": flow_entry(Measured(c.flow, c.rate)),
        "theory": None if c.theory is None else {"words": c.theory_words, "log10_relative_to_lag_0": _numbers(c.theory)},
    } for c in compared]}


def _net(network):
    """Where a net is from, what its reader assumed, and its layers."""
    return {"source": network.source, "sha256": network.sha256, "notes": list(network.notes), "layers": [{
        "name": layer.name, "cell": layer.cell.name, "units": layer.units, "inputs": layer.n_inputs, "gate_order": layer.gate_order,
    } for layer in network.layers]}


def _number(value):
    return float(value) if np.isfinite(value) else None


_diagnosis = diagnosis


def _finite(value):
    """Plain numbers, lists and dicts; null for what is not finite."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_finite(v) for v in value]
    return _number(value) if isinstance(value, (float, np.floating)) else int(value) if isinstance(value, np.integer) else value


def _numbers(values):
    values = np.asarray(values, float)
    numbers = values.tolist()
    for k in np.flatnonzero(~np.isfinite(values)).tolist():
        numbers[k] = None
    return numbers
