"""Pictures: in flight, the limit, and first bytes over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.loop import Loop
from benchmarks.adaptive.phases import PHASES
from ratelimit.adaptive.first_byte import FirstByte

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen


def draw(back_ends: Sequence[BackEnd], seed: int, folder: Path, trace: Path | None) -> list[Path]:
    """Write one picture for each back end."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(back_end, seed, folder, trace) for back_end in back_ends]


def _draw(back_end: BackEnd, seed: int, folder: Path, trace: Path | None) -> Path:
    run = Loop(back_end, PHASES, FirstByte, seed, trace=trace, watched=True).play()
    figure, (above, below) = plt.subplots(2, 1, figsize=(14, 7), sharex=True, layout="constrained")
    seconds = [at for at, *_ in run.curve]
    above.plot(seconds, [flying for _, flying, _, _ in run.curve], label="in flight", linewidth=0.8)
    above.plot(seconds, [queue for *_, queue in run.curve], label="limit on what waits", linewidth=0.8)
    above.set_ylabel("requests")
    above.legend(loc="upper left")
    above.set_title(f"{back_end.name}, seed {seed}")
    below.scatter(*zip(*run.first_bytes, strict=True), s=2)
    below.axhline(back_end.target_ms / 1000, linewidth=0.8)
    below.set_ylim(0, 3 * back_end.target_ms / 1000)
    below.set_ylabel("first byte, s")
    at = 0
    for phase in PHASES:
        above.axvline(at, linewidth=0.4)
        above.text(at + 1, above.get_ylim()[1] * 0.97, phase.name, fontsize=7, va="top")
        at += phase.seconds
    path = folder / f"{back_end.name.replace(' ', '-')}.png"
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return path
