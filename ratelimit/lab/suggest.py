"""Limits from a trace: what callers of each kind use, and the policy that follows.

Theory of operation. Windows are fixed and aligned to the epoch. Of each caller only its present window and
its peak are kept; of windows that are over, only how many there were of each amount. From these follows, for
any limit, how many requests and how many callers it would have refused.

Memory is bounded. Beyond `MOST_CALLERS` every second one is forgotten, chosen by a hash of its name,
and the others count twice; and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from math import ceil
from operator import attrgetter
from typing import Any
from zlib import crc32

from ratelimit.identity.address import parse_address
from ratelimit.lab.records import Fields
from ratelimit.lab.replay import Memo
from ratelimit.lab.traces import Batch
from ratelimit.policy import Policy
from ratelimit.policy.routing.request_line import read_line

MOST_CALLERS = 1_000_000
WINDOWS = {"minute": 60, "hour": 3_600, "day": 86_400}
"""Seconds of each window that is looked at."""
REQUESTS = "requests"
PERCENTS = (50.0, 90.0, 99.0, 99.9, 100.0)
"""What is shown; 100 is the greatest."""
USUAL = ("account", "user", "ip")
"""Kinds of callers that are looked for unless the operator names others."""
_LEAST_SHARE = 0.01
_STEPS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)


@dataclass(slots=True)
class _Caller:
    window: int = -1
    amount: int = 0
    peak: int = 0


class Usage:
    """The use of one unit by callers of one kind, in windows of one length.

    Args:
        window_s: seconds.
        most: callers that are kept.
    """

    def __init__(self, window_s: int, most: int = MOST_CALLERS) -> None:
        self.window_ns = window_s * 1_000_000_000
        self.every = 1
        """Of how many callers one is looked at."""
        self._most = most
        self._callers: dict[str, _Caller] = {}
        self._over: Counter[int] = Counter()
        """Windows that are over, by the amount used in them."""

    def add(self, callers: Sequence[str | None], times_ns: Sequence[int], amounts: Sequence[int]) -> None:
        """Note requests: their callers, times and amounts; None for a request without a caller."""
        for name, now_ns, amount in zip(callers, times_ns, amounts, strict=True):
            if name is None:
                continue
            caller = self._callers.get(name)
            if caller is None:
                if not self._is_kept(name):
                    continue
                if len(self._callers) >= self._most:
                    self.every *= 2
                    self._callers = {name: one for name, one in self._callers.items() if self._is_kept(name)}
                    # What is over cannot be told by caller any more: half of it was the others'.
                    self._over = Counter(
                        {used: number // 2 for used, number in self._over.items() if number > 1}
                    )
                caller = self._callers[name] = _Caller()
            window = now_ns // self.window_ns
            if window != caller.window:
                if caller.amount:
                    self._over[caller.amount] += 1
                caller.window, caller.amount = window, 0
            caller.amount += amount
            caller.peak = max(caller.peak, caller.amount)

    def _is_kept(self, name: str) -> bool:
        return self.every == 1 or crc32(name.encode("utf-8", "replace")) % self.every == 0

    @property
    def callers(self) -> int:
        """The number of them."""
        return len(self._callers) * self.every

    def peaks(self) -> list[int]:
        """Return the peak of each caller that is looked at, ascending."""
        return sorted(caller.peak for caller in self._callers.values())

    def beyond(self, quota: int) -> tuple[int, int]:
        """Return how much is used beyond a quota in all windows, and by how many callers."""
        excess = sum((amount - quota) * number for amount, number in self._over.items() if amount > quota)
        excess += sum(max(0, caller.amount - quota) for caller in self._callers.values())
        callers = sum(caller.peak > quota for caller in self._callers.values())
        return excess * self.every, callers * self.every


def percentile(ascending: Sequence[int], percent: float) -> int:
    """Return the least value that so many percent of the values do not exceed (nearest rank)."""
    if not ascending:
        return 0
    rank = ceil(len(ascending) * percent / 100)
    return ascending[max(0, min(len(ascending), rank) - 1)]


def rounded_up(amount: int) -> int:
    """Return a number that people would write, at least as large."""
    if amount <= 10:
        return max(amount, 1)
    scale = int("1" + "0" * (len(str(amount)) - 2))
    return scale * min(step for step in _STEPS if step * scale >= amount)


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of caller, unit and window: percentiles of the peaks, and what follows."""

    per: str
    unit: str
    window: str
    callers: int
    percentiles: tuple[int, ...]
    quota: int
    beyond: int
    """Units used beyond the quota in all windows."""
    callers_beyond: int
    is_binding: bool
    """True if a shorter window's quota does not already see to it."""


class Measured:
    """What callers of a trace use.

    Args:
        fields: what records have.
        per: kinds of callers: identities, `ip` among them.
        units: `requests` and others.
        match: which requests count.
    """

    def __init__(self, fields: Fields, per: Sequence[str], units: Sequence[str], match: str) -> None:
        self.per, self.units, self.match = per, units, match
        self.requests = self.first_ns = self.last_ns = 0
        self.found = dict.fromkeys(per, 0)
        """Requests by kind of caller they have."""
        self._fields = fields
        covering = written_limit("l", "ip", "1/day", match)
        router = Policy.from_toml(f"version = 1\n{covering}").compiled.router
        self._covers = Memo(lambda asked: router.match(*read_line(*asked)) is not None)
        self._address = Memo(_network, 200_000)
        self._usages = {
            (kind, unit, window): Usage(seconds)
            for kind in per
            for unit in units
            for window, seconds in WINDOWS.items()
        }

    def take(self, batch: Batch) -> None:
        """Note a batch."""
        covered = [self._covers[record.method, record.path] for record in batch.records]
        records = list(compress(batch.records, covered))
        times_ns = list(compress(batch.times_ns, covered))
        if not records:
            return
        self.first_ns = self.first_ns or times_ns[0]
        self.last_ns = times_ns[-1]
        self.requests += len(records)
        amounts = {unit: [1] * len(records) for unit in self.units}
        for unit in self.units[1:]:
            amounts[unit] = [amount or 0 for amount in map(self._value(unit), records)]
        for kind in self.per:
            of = self._address.__getitem__ if kind == "ip" else _text
            callers = [of(value) for value in map(self._value(kind), records)]
            self.found[kind] += len(callers) - callers.count(None)
            for (per, unit, _), usage in self._usages.items():
                if per == kind:
                    usage.add(callers, times_ns, amounts[unit])

    def _value(self, name: str) -> attrgetter[Any]:
        return attrgetter(self._fields.attribute[name])

    def rows(self, percent: float) -> list[Row]:
        """Return what follows when so many percent of callers are to be left alone at their busiest."""
        rows: list[Row] = []
        for (per, unit, window), usage in self._usages.items():
            peaks = usage.peaks()
            is_rare = self.found[per] < _LEAST_SHARE * self.requests
            if not peaks or not peaks[-1] or is_rare or self.last_ns - self.first_ns < 2 * usage.window_ns:
                continue
            quota = rounded_up(percentile(peaks, percent))
            shares = tuple(percentile(peaks, share) for share in PERCENTS)
            shorter = [
                row.quota * WINDOWS[window] // WINDOWS[row.window]
                for row in rows
                if (row.per, row.unit) == (per, unit)
            ]
            is_binding = all(quota < bound for bound in shorter)
            rows.append(
                Row(per, unit, window, usage.callers, shares, quota, *usage.beyond(quota), is_binding)
            )
        return rows

    @property
    def is_sampled(self) -> bool:
        """True if there were more callers than are looked at."""
        return any(usage.every > 1 for usage in self._usages.values())


def written(rows: Sequence[Row], match: str, head: Sequence[str]) -> str:
    """Return the policy of some rows as TOML, in shadow: it refuses nothing until that line is taken out."""
    lines = [*(f"# {line}" for line in head), "version = 1", "", "[identities]"]
    for per in dict.fromkeys(row.per for row in rows):
        lines.append(
            'ip = { from = "client" }'
            if per == "ip"
            else f'{per} = {{ from = "state:{per}" }}  # write where yours comes from: '
            "header:, state:, resolver:"
        )
    for per, unit in dict.fromkeys((row.per, row.unit) for row in rows):
        rates = [
            f"{row.quota}/{row.window}"
            for row in rows
            if (row.per, row.unit) == (per, unit) and row.is_binding
        ]
        more = [] if unit == REQUESTS else [f'unit = "{unit}"']
        lines += [
            "",
            written_limit(f"{unit} of one {per}", per, "; ".join(rates), match, *more, 'mode = "shadow"'),
        ]
    return "\n".join(lines) + "\n"


def written_limit(name: str, per: str, rate: str, match: str, *more: str) -> str:
    """Return a limit as TOML."""
    escaped = match.replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped)
    matches = [] if match == "* /*" else [f'match = "{escaped}"']
    lines = ["[[limit]]", f'name = "{name}"', *matches, f'per = "{per}"', f'rate = "{rate}"', *more]
    return "\n".join(lines)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _network(text: str | None) -> str | None:
    """Return the caller that an address stands for: itself, or of IPv6 its network of 64 bits."""
    address = None if text is None else parse_address(text)
    if address is None:
        return None
    return f"{address.width}:{address.bits >> (64 if address.width == 128 else 0):x}"
