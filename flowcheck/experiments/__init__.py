"""The six experiments of 1997: task generators with their exact distributions, the paper's nets, a compiled trainer, trials.

Each task draws Sequences; `nets` gives the architectures and initial weights, `settings` the rows of Table 10, `trials` runs them.
"""
