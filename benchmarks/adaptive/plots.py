"""Pictures: the limit, what is in flight, and first bytes over time, as small drawings (SVG)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

import matplotlib

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.loop import Loop, Run
from benchmarks.adaptive.phases import PHASES
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.quantile import quantile

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen
from matplotlib.axes import Axes

Of = Callable[[Sequence[float]], float]

# Words stay words, and the same run is the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "adaptive", "font.size": 9})
BLUE, ORANGE, GREEN, GREY = "#1f6fb4", "#d9730d", "#2a8a3e", "#777777"
SHARES = (0.5, 0.95)
PART_S = 2
"""What is drawn as one point."""
DECIMALS = re.compile(r"(\d\.\d)\d+")
"""A tenth of a point is finer than a screen shows, and half of the bytes."""


def draw(back_ends: Sequence[BackEnd], seed: int, folder: Path, trace: Path | None) -> list[Path]:
    """Write one picture for each back end."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(back_end, seed, folder, trace) for back_end in back_ends]


def _draw(back_end: BackEnd, seed: int, folder: Path, trace: Path | None) -> Path:
    run = Loop(back_end, PHASES, FirstByte, seed, trace=trace, watched=True).play()
    figure, (above, middle, below) = plt.subplots(
        3, 1, figsize=(9, 6), sharex=True, layout="constrained", height_ratios=(3, 3, 2)
    )
    target_s = back_end.target_ms / 1000
    flying = _by_time((at, flying) for at, flying, *_ in run.curve)
    limits = _by_time((at, limit) for at, *_, limit in run.curve)
    _line(above, flying, max, BLUE, "in flight")
    _line(above, limits, max, ORANGE, "may wait for a first byte (the limit)")
    above.set_ylabel("requests")
    above.set_ylim(0, 1.2 * max(max(found) for found in flying.values()))
    waits = _by_time(run.first_bytes)
    for share, colour in zip(SHARES, (GREEN, BLUE), strict=True):
        _line(
            middle,
            waits,
            partial(quantile, share=share),
            colour,
            f"first byte, p{share * 100:g}",
        )
    middle.axhline(target_s, color=ORANGE, linewidth=0.8, linestyle="--", label="target")
    middle.set_ylim(0, 2.5 * target_s)
    middle.set_ylabel("seconds")
    _rates(below, run)
    below.set_xlabel("seconds")
    at = 0
    for number, phase in enumerate(PHASES):
        for axes in (above, middle, below):
            axes.axvline(at, color=GREY, linewidth=0.3)
        height = above.get_ylim()[1] * (0.99 if number % 2 == 0 else 0.91)
        above.text(at + 1, height, phase.name, fontsize=7, va="top", color=GREY)
        at += phase.seconds
    for axes in (above, middle, below):
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 0.98), borderaxespad=0, ncols=3, fontsize=7, frameon=False
        )
        axes.set_xlim(0, at)
    figure.suptitle(f"{back_end.name}, target {target_s:g} s, seed {seed}", fontsize=10)
    path = folder / f"adaptive-{back_end.name.replace(' ', '-')}.svg"
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    path.write_text(DECIMALS.sub(r"\1", path.read_text("utf-8")), "utf-8")
    plt.close(figure)
    return path


def _by_time(found: Iterable[tuple[float, float]]) -> dict[int, list[float]]:
    parts: dict[int, list[float]] = defaultdict(list)
    for at, value in found:
        parts[int(at) // PART_S * PART_S].append(value)
    return dict(sorted(parts.items()))


def _line(axes: Axes, parts: Mapping[int, list[float]], of: Of, colour: str, label: str) -> None:
    axes.plot(list(parts), [of(found) for found in parts.values()], color=colour, linewidth=0.9, label=label)


def _rates(axes: Axes, run: Run) -> None:
    """What came, and what was answered in time, a second."""
    for place, colour, label in ((0, GREY, "came"), (3, GREEN, "answered in time")):
        parts = _by_time((at, counts[place]) for at, counts in run.seconds.items())
        _line(axes, parts, fmean, colour, label)
    axes.set_ylabel("a second")
    axes.set_ylim(bottom=0)
