"""How backward's answer is read under a declared intent: as it is, freed of one factor, freed of a clip, averaged over calls.

For `direction` the gradients are compared by their cosine instead.
"""

import numpy as np

from .comparison import Comparison, compare_gradients
from .rounding import Rounding, rounding_of, student
from .verification import Finding

__all__ = ["compare_declared"]

SMALL = 2.0**-60
BATCHES = 32


def compare_declared(expected, arguments, seeds, rng, answers=None, **options):
    """[Comparison], [Finding]: every entry under every seed, read as the intent of `expected` says.

    answers   [rounding.Rounding], one a seed, of an intent that reads them as they are
    """
    intent, findings = expected.intent, []
    if intent.kind == "direction":
        return _by_cosine(expected, arguments, seeds[-1], rng), findings
    if intent.kind == "up_to_scale":
        answers = _unscaled(expected, arguments, seeds, rng, findings)
    elif intent.kind == "clipped":
        answers = _unclipped(expected, arguments, seeds, rng, findings)
    elif intent.kind == "stochastic":
        answers = _averaged(expected, arguments, seeds)
    return compare_gradients(expected, arguments, seeds, rng, answers=answers, **options), findings


def _unscaled(expected, arguments, seeds, rng, findings):
    """Answers divided by the factor that most entries agree on."""
    answers, factors = [], []
    for seed in seeds:
        grads, ratios = expected.functions.grads(arguments, seed.grad_outputs), []
        for _, name, array in arguments.entries():
            v = rng.normal(size=array.shape)
            reference = expected.full(arguments, name, v, [seed])[0][0]
            grad = grads.get(name)
            if grad is not None and grad.shape == array.shape and reference != 0:
                ratios.append(float(np.sum(grad * v)) / reference)
        factor = float(np.median(ratios)) if ratios else 1.0
        factors.append(factor)
        if not (np.isfinite(factor) and factor > 0):
            findings.append(Finding("", None, "scale", None, None, f"the factor to the full gradient is {factor:.4g}, not positive"))
            factor = 1.0
        answers.append(rounding_of(expected.functions, arguments, seed.grad_outputs, rng, grads).divided(factor))
    return answers


def _unclipped(expected, arguments, seeds, rng, findings):
    """Answers to errors too small to be clipped, scaled back; the clip itself is checked against them."""
    intent, answers = expected.intent, []
    for seed in seeds:
        small = {k: v * SMALL for k, v in seed.grad_outputs.items()}
        answers.append(rounding_of(expected.functions, arguments, small, rng).divided(SMALL))
        _check_clip(intent, answers[-1].answer, expected.functions.grads(arguments, seed.grad_outputs), findings)
    return answers


def _check_clip(intent, linear, given, findings):
    names = [k for k, g in linear.items() if g is not None and given.get(k) is not None]
    norm = np.sqrt(sum(float(np.sum(np.square(linear[k]))) for k in names))
    for k in names:
        if intent.inside:
            ok = intent.value is None or np.all(np.isfinite(given[k]))
        elif intent.value is not None:
            ok = np.allclose(given[k], np.clip(linear[k], -intent.value, intent.value), rtol=1e-7, atol=0)
        else:
            ok = np.allclose(given[k], linear[k] * min(1.0, intent.norm / norm) if norm else linear[k], rtol=1e-5, atol=0)
        if not ok:
            findings.append(Finding(k, None, f"dE/d{k}", None, None, f"dE/d{k} is not the gradient clipped as declared, {intent}"))
            return


def _averaged(expected, arguments, seeds):
    """Means over all calls; those of B batches of them scatter about it by sqrt(B - 1) of its standard errors."""
    answers, samples = [], expected.intent.samples
    number = min(BATCHES, samples)
    each = samples // number
    for seed in seeds:
        batches = []
        for _ in range(number):
            calls = [expected.functions.grads(arguments, seed.grad_outputs) for _ in range(each)]
            batches.append({k: None if g is None else np.mean([c[k] for c in calls], axis=0) for k, g in calls[0].items()})
        mean = {k: None if g is None else np.mean([b[k] for b in batches], axis=0) for k, g in batches[0].items()}
        apart = [{k: None if g is None else mean[k] + (g - mean[k]) / np.sqrt(number - 1) for k, g in b.items()} for b in batches]
        answers.append(Rounding(mean, samples=apart, weight=lambda count: student(count - 1)))
    return answers


def _aside(cosine):
    """Size of what stands at right angles to the gradient, relative to it, where their sum has that cosine with it."""
    return float(np.sqrt(max(0.0, cosine**-2 - 1))) if cosine > 0 else np.inf


def _by_cosine(expected, arguments, seed, rng, most=400):
    """Cosine of each entry with the full gradient: entry by entry of it up to `most`, else its norm from as many random directions."""
    found, grads = [], expected.functions.grads(arguments, seed.grad_outputs)
    for group, name, array in arguments.entries():
        one = Comparison(name, group, seed, grads.get(name))
        found.append(one)
        if one.grad is None or one.grad.shape != array.shape or not np.any(one.grad):
            one.verdict = "fail"
            one.words = f"dE/d{name}: backward returns " + ("no gradient" if one.grad is None else "zero or a wrong shape")
            continue
        unit = one.grad / np.linalg.norm(one.grad)
        along = expected.full(arguments, name, unit, [seed])[0][0]
        if array.size <= most:
            rows = np.eye(array.size).reshape(-1, *array.shape)
            norm = np.sqrt(sum(expected.full(arguments, name, v, [seed])[0][0] ** 2 for v in rows))
        else:
            rows = rng.normal(size=(most, *array.shape))
            norm = np.sqrt(np.mean([expected.full(arguments, name, v, [seed])[0][0] ** 2 for v in rows]))
        cosine = float(along / norm) if norm > 0 else 0.0
        one.error, one.tolerances = _aside(cosine), {None: _aside(expected.intent.cosine)}
        slack = 1e-9 if array.size <= most else 3 / np.sqrt(2 * most)
        if cosine < expected.intent.cosine - slack:
            one.verdict, one.words = "fail", f"dE/d{name}: cosine with the full gradient {cosine:.4f}, less than declared"
        elif cosine < expected.intent.cosine + (slack if array.size > most else -1):
            one.verdict, one.doubtful = "inconclusive", [None]
    return found
