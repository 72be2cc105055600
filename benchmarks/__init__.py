"""Speed and memory beside the alternatives: `python -m benchmarks`. Each case first checks that all give the same numbers."""
