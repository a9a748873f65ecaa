"""The figures of the peers as a picture, or as bars of text where no plotting library is at hand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.figures import Report

_WIDTH = 50


def plot(report: Report, path: Path) -> None:
    """Write a PNG with matplotlib where it is installed, else print bars to stderr."""
    bars = [(figure.name, figure.rounds.median) for figure in report.figures if figure.name.endswith("CPU a read")]
    try:
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ModuleNotFoundError:
        print(text(bars), file=sys.stderr)
        return
    pyplot.switch_backend("Agg")
    figure, axes = pyplot.subplots(figsize=(9, 0.5 * len(bars) + 1.5), layout="constrained")
    axes.barh([name for name, _ in bars], [value for _, value in bars])
    axes.set_xscale("log")
    axes.set_xlabel("CPU a read on one core, µs (less is better)")
    axes.invert_yaxis()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def text(bars: list[tuple[str, float]]) -> str:
    """Bars of text; the longest is the highest value."""
    if not bars:
        return ""
    widest, highest = max(len(name) for name, _ in bars), max(value for _, value in bars) or 1.0
    return "\n".join(
        f"{name.ljust(widest)}  {'#' * max(1, round(_WIDTH * value / highest))} {value:.0f} us" for name, value in bars
    )
