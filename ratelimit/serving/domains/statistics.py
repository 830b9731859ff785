"""Statistics of descriptors, under the names that the reference service's own Prometheus metrics have.

Memory is bounded: names that values of calls are part of are counted under their descriptor's own name
once there are `MOST_SERIES`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from ratelimit.parsing.json import JsonReader

_LEFT: JsonReader[tuple[dict[str, list[int]], dict[str, int]]] = JsonReader(
    tuple[dict[str, list[int]], dict[str, int]]
)
MOST_SERIES = 10_000
COLUMNS = ("total_hits", "over_limit", "near_limit", "within_limit", "shadow_mode")
TOTAL, OVER, NEAR, WITHIN, SHADOW = range(len(COLUMNS))
_PREFIX = "ratelimit_service_"
_SERVICE = (
    "config_load_success",
    "config_load_error",
    "global_shadow_mode",
    "domain_not_found",
    "service_error",
)
_NAMES = {"service_error": 'should_rate_limit_error{err_type="service_error"}'}
_ADDRESS = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")
_UNFIT = str.maketrans({":": "_", "|": "_"})


class Statistics:
    """This process' numbers by series; any thread may add.

    Args:
        near: the share of a limit from which hits are near it.
        folder: where the processes of one command leave their numbers for each other; None for one process.
    """

    def __init__(self, near: float = 0.8, folder: Path | None = None) -> None:
        self._near = near
        self._folder = folder
        self._token = secrets.token_hex(8)
        self._lock = Lock()
        self._series: dict[str, list[int]] = {}
        self._service = dict.fromkeys(_SERVICE, 0)

    def add(self, name: str, number: int = 1) -> None:
        """Add to a number of the service itself."""
        with self._lock:
            self._service[name] += number

    def hit(self, series: str, rolled_up: str, hits: int) -> None:
        """Count hits of a series that has no limit to be over."""
        with self._lock:
            self._cells(series, rolled_up)[TOTAL] += hits

    def counted(
        self, series: str, rolled_up: str, limit: int, before: int, hits: int, *, is_shadow: bool
    ) -> None:
        """Count hits of a series by the part of them that was over its limit, or near it.

        Args:
            series, rolled_up: its name, and the name without values of calls.
            limit: of its window.
            before: counted in the window before these hits.
            hits: how many.
            is_shadow: whether being over refuses nothing.
        """
        after = before + hits
        near = int(limit * self._near)
        with self._lock:
            cells = self._cells(series, rolled_up)
            cells[TOTAL] += hits
            if after > limit:
                over = min(hits, after - limit)
                cells[OVER] += over
                cells[NEAR] += max(0, limit - max(near, before))
                cells[SHADOW] += over if is_shadow else 0
            else:
                cells[NEAR] += max(0, after - max(near, before))
                cells[WITHIN] += hits

    def _cells(self, series: str, rolled_up: str) -> list[int]:
        cells = self._series.get(series)
        if cells is None:
            name = series if len(self._series) < MOST_SERIES else rolled_up
            cells = self._series.setdefault(name, [0] * len(COLUMNS))
        return cells

    def leave(self) -> None:
        """Write this process' numbers where the process that is scraped finds them."""
        if self._folder is None:
            return
        with self._lock:
            text = json.dumps([self._series, self._service])
        place = self._folder / self._name()
        beside = place.with_suffix(".new")
        beside.write_text(text)
        beside.replace(place)

    def _name(self) -> str:
        # A number is used again after its process has ended, and the totals stay; a fork has the same token.
        return f"{os.getpid()}.{self._token}.json"

    def _all(self) -> tuple[dict[str, list[int]], dict[str, int]]:
        """Return the numbers of all processes of the command."""
        with self._lock:
            series = {name: list(cells) for name, cells in self._series.items()}
            service = dict(self._service)
        others = [] if self._folder is None else sorted(self._folder.glob("*.json"))
        for place in others:
            if place.name == self._name():
                continue
            more, numbers = _LEFT.read(place.read_bytes())
            for name, cells in more.items():
                mine = series.setdefault(name, [0] * len(COLUMNS))
                mine[:] = map(sum, zip(mine, cells, strict=True))
            for name, number in numbers.items():
                service[name] += number
        return series, service

    def text(self) -> bytes:
        """Return the numbers in Prometheus' text format."""
        series, service = self._all()
        by_labels: dict[str, list[int]] = {}
        for name, cells in series.items():
            mine = by_labels.setdefault(_labels(name), [0] * len(COLUMNS))
            mine[:] = map(sum, zip(mine, cells, strict=True))
        lines = [f"{_PREFIX}{_NAMES.get(name, name)} {number}" for name, number in service.items()]
        lines += _lines(by_labels)
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _lines(by_labels: dict[str, list[int]]) -> Iterator[str]:
    for at, column in enumerate(COLUMNS):
        for labels, cells in sorted(by_labels.items()):
            yield f"{_PREFIX}rate_limit_{column}{labels} {cells[at]}"


def _labels(series: str) -> str:
    """Return the labels of a series: the domain and two levels, as the reference service maps them."""
    fit = _ADDRESS.sub(lambda found: found[0].replace(".", "_"), series.translate(_UNFIT))
    domain, *levels = fit.split(".")
    pairs = [("domain", domain), *((f"key{at}", level) for at, level in enumerate(levels[:2], 1))]
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
