"""Reproducible measurements against real processes: each figure is a ratio or a time measured in one run, beside its target."""
