"""Wrong backward passes, and who sees them: `python -m benchmarks detection`. Nets and mistakes are written by hand, not derived."""
