"""Contenders over worlds: each world is drawn once, and a control decided once for all that share it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
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


def contender(name: str) -> Contender:
    """Return a contender by name, or the batch model `path.py:function`."""
    if name == Core.name:
        return Core()
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


def contest(
    entries: Sequence[Entry], seeds: Sequence[int], size: Size, contenders: Sequence[Contender]
) -> Iterator[Result]:
    """Yield results as they come."""
    for entry in entries:
        for seed in seeds:
            world = entry.world(seed, size)
            shared: Outcome | None = None
            for one in contenders:
                if isinstance(one, Kinlimit):
                    control = one.control(world.trace)
                else:
                    control = shared = shared or one.control(world.trace)
                outcome = one.run(world.trace)
                yield measure(entry, world, seed, one.name, outcome, control, size.scale)
