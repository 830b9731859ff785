"""Pictures: containment over time, collateral by class, the evasion frontier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from benchmarks.correlation.budget import CLUSTER_A_DAY
from benchmarks.correlation.campaigns import CAMPAIGNS
from benchmarks.correlation.poison import POISON
from benchmarks.correlation.runs import Result

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen

COLOURS = {
    "kinlimit": "#c2185b",
    "per-account": "#9e9e9e",
    "per-address": "#90a4ae",
    "per-network": "#607d8b",
    "union-find": "#ff9800",
    "union-find-cut": "#ffc107",
    "additive": "#03a9f4",
    "true-labels": "#2e7d32",
}


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write the pictures that these results have data for; return their files."""
    painters = (
        ("containment.png", _containment),
        ("collateral.png", _collateral),
        ("frontier.png", _frontier),
    )
    return [folder / name for name, paint in painters if paint(results, folder / name)]


def _containment(results: Sequence[Result], path: Path) -> bool:
    """Admitted an hour in budgets, hour by hour, for each campaign."""
    names = [name for name in (*CAMPAIGNS, *POISON) if any(result.scenario == name for result in results)]
    if not names:
        return False
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4 * columns, 0.9 + 2.6 * rows), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes.flat, names, strict=False):
        for contender, colour in COLOURS.items():
            curves = [
                np.sum([admitted for admitted, _ in result.verdict.curves], axis=0)
                / len(result.verdict.curves)
                / (CLUSTER_A_DAY / 24)
                for result in results
                if result.scenario == name and result.contender == contender and result.verdict.curves
            ]
            if curves:
                axis.plot(np.median(curves, axis=0), color=colour, label=contender, linewidth=1.3)
        axis.axhline(1.0, color="black", linewidth=0.6, linestyle=":")
        axis.set_title(name, fontsize=9)
        axis.set_yscale("symlog", linthresh=1)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("hours of the campaign", fontsize=8)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    figure.supylabel("admitted an hour, in cluster budgets", fontsize=9)
    return _save(figure, path)


def _collateral(results: Sequence[Result], path: Path) -> bool:
    """Share of each class's requests refused because of correlation: the worst scenario, median of seeds."""
    classes = sorted({name for result in results for name in result.verdict.harm})
    contenders = [name for name in COLOURS if any(result.contender == name for result in results)]
    if not classes or not contenders:
        return False
    figure, axis = plt.subplots(figsize=(10, 1.2 + 0.32 * len(classes)), layout="constrained")
    for offset, contender in enumerate(contenders):
        worst = []
        for name in classes:
            found: dict[str, list[float]] = {}
            for result in results:
                if result.contender == contender and name in result.verdict.harm:
                    found.setdefault(result.scenario, []).append(result.verdict.harm[name].refused)
            worst.append(max((float(np.median(values)) for values in found.values()), default=0.0))
        place = np.arange(len(classes)) + (offset - len(contenders) / 2) * 0.1
        axis.scatter(np.maximum(worst, 1e-6), place, s=14, color=COLOURS[contender], label=contender)
    axis.set_xscale("log")
    axis.axvline(0.01, color="black", linewidth=0.6, linestyle=":")
    axis.set_yticks(np.arange(len(classes)), classes, fontsize=8)
    axis.set_xlabel(
        "share of the class's requests refused because of correlation, worst scenario", fontsize=9
    )
    axis.grid(axis="y", linewidth=0.3)
    axis.set_ylim(-1, len(classes))
    figure.legend(fontsize=7, loc="outside right upper")
    return _save(figure, path)


def _frontier(results: Sequence[Result], path: Path) -> bool:
    """Amplification of what an attacker gets, by what it pays a day."""
    points = [result for result in results if result.price is not None]
    if not points:
        return False
    figure, axis = plt.subplots(figsize=(12, 6.5), layout="constrained")
    names = list(dict.fromkeys(point.scenario for point in points))
    for contender, colour in COLOURS.items():
        for number, name in enumerate(names, 1):
            same = [one for one in points if one.contender == contender and one.scenario == name]
            if not same:
                continue
            price = float(np.median([one.price for one in same if one.price is not None]))
            got = float(np.median([one.verdict.numbers["amplification"] for one in same]))
            axis.scatter(price, got, color=colour, s=18, label=contender if number == 1 else None)
            axis.annotate(str(number), (price, got), fontsize=6, xytext=(3, 3), textcoords="offset points")
    for number, name in enumerate(names, 1):
        axis.plot([], [], " ", label=f"{number}  {name.partition(':')[2]}")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.axhline(1.0, color="black", linewidth=0.6, linestyle=":")
    axis.set_xlabel("dollars a day (assumed prices of cards, accounts, exits and clients)")
    axis.set_ylabel("admitted a day, in cluster budgets")
    figure.legend(fontsize=7, loc="outside right upper", frameon=False)
    return _save(figure, path)


def _save(figure: object, path: Path) -> bool:
    figure.savefig(path, dpi=110)  # type: ignore[attr-defined]
    plt.close(figure)  # type: ignore[arg-type]
    return True
