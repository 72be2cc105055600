"""Injected faults: nets that the project trains itself, healthy and with exactly known faults, and what detectors say of them."""
