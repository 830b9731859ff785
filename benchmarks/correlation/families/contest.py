"""Contenders over worlds: each world is drawn once, and a control decided once for all that share it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.correlation.contender import Contender, Outcome
from benchmarks.correlation.families.batch import Batch
from benchmarks.correlation.families.catalogue import Entry
from benchmarks.correlation.families.core import Core
from benchmarks.correlation.families.measure import Result, measure
from benchmarks.correlation.families.world import Size
from benchmarks.correlation.kinlimit import Kinlimit
from benchmarks.correlation.runs import CONTENDERS

ALONE = "per-account"
DEFAULT = ("kinlimit", ALONE, "union-find", "union-find-cut", "true-labels")
"""Today's code, limits alone, two that join whatever is shared, and the upper bound."""
FEW = ("kinlimit", ALONE, "true-labels")
"""Of these the ones that take no time of their own."""
GROWN_UP = "young_s = 0"
"""Worlds of a few days ask what holds after a cluster's first week; `months.young` looks at that week."""


def contender(name: str) -> Contender:
    """Return a contender by name, or the batch model `path.py:function`."""
    if name == Core.name:
        return Core()
    if name == Kinlimit().name:
        return Kinlimit(tuning=GROWN_UP)
    if name in CONTENDERS:
        return CONTENDERS[name]()
    return Batch(Path(name.rpartition(":")[0]).stem, function(name))


def function(place: str) -> Callable[..., Any]:
    """Return the function that `path.py:name` says."""
    path, _, name = place.rpartition(":")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{place} is no file:function")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(module, name)
    return found


def play(
    entry: Entry, seed: int, size: Size, contenders: Sequence[Contender], *, ages: bool = True
) -> list[Result]:
    """Return the results of one world.

    Args:
        ages: whether contenders are told when accounts were created.
    """
    world = entry.world(seed, size)
    trace = world.trace if ages else replace(world.trace, created_ns=None)
    shared: Outcome | None = None
    results = []
    for one in contenders:
        if isinstance(one, Kinlimit):
            control = one.control(trace)
        else:
            control = shared = shared or one.control(trace)
        results.append(measure(entry, world, seed, one.name, one.run(trace), control, size.scale))
    return results


def contest(
    entries: Sequence[Entry],
    seeds: Sequence[int],
    size: Size,
    names: Sequence[str],
    *,
    ages: bool = True,
    workers: int = 1,
) -> Iterator[list[Result]]:
    """Yield the results of each world as it is done, in order; contenders are told by name."""
    worlds = [(entry, seed, size, tuple(names), ages) for entry in entries for seed in seeds]
    if workers == 1:
        yield from map(_play, worlds)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_play, worlds)


def _play(world: tuple[Entry, int, Size, tuple[str, ...], bool]) -> list[Result]:
    entry, seed, size, names, ages = world
    return play(entry, seed, size, [contender(name) for name in names], ages=ages)
