"""Limits from a trace: what callers of each kind use, and the policy that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from ratelimit.cli.suggest.usage import WINDOWS, Usage, percentile, rounded_up
from ratelimit.identity.address import parse_address
from ratelimit.policy import Policy
from ratelimit.policy.routing.request_line import read_line
from ratelimit.replay.memo import Memo
from ratelimit.traces import Batch, Fields

REQUESTS = "requests"
PERCENTS = (50.0, 90.0, 99.0, 99.9, 100.0)
"""What is shown; 100 is the greatest."""
USUAL = ("account", "user", "ip")
"""Kinds of callers that are looked for unless the operator names others."""
_LEAST_SHARE = 0.01
_V6_PREFIX = 64
"""As an identity that is an address has it by default."""


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
    is_binding: bool = True
    """True if a shorter window's quota does not already see to it."""


@dataclass(slots=True)
class Measured:
    """The contents of a trace.

    Args:
        fields: what records have.
        per: kinds of callers: identities, `ip` among them.
        units: `requests` and others.
        match: which requests count.
    """

    fields: Fields
    per: Sequence[str]
    units: Sequence[str]
    match: str
    requests: int = 0
    first_ns: int = 0
    last_ns: int = 0
    found: dict[str, int] = field(default_factory=dict)
    """Requests by kind of caller they have."""
    usages: dict[tuple[str, str, str], Usage] = field(default_factory=dict)
    _covers: Memo = field(init=False)
    _address: Memo = field(init=False)

    def __post_init__(self) -> None:
        router = Policy.from_toml(
            _policy([f'[[limit]]\nname = "l"\nper = "ip"\nrate = "1/day"\n{self._matches()}'])
        ).compiled.router
        self._covers = Memo(lambda asked: router.match(*read_line(*asked)) is not None)
        self._address = Memo(_network)
        self.found = dict.fromkeys(self.per, 0)
        for per in self.per:
            for unit in self.units:
                for window, seconds in WINDOWS.items():
                    self.usages[per, unit, window] = Usage(seconds)

    def _matches(self) -> str:
        return f"match = {quoted(self.match)}\n"

    def take(self, batch: Batch) -> None:
        """Note a batch."""
        records, times_ns = batch.records, batch.times_ns
        covered = [self._covers[record.method, record.path] for record in records]
        if not all(covered):
            records = [record for record, counts in zip(records, covered, strict=True) if counts]
            times_ns = [at for at, counts in zip(times_ns, covered, strict=True) if counts]
        if not records:
            return
        self.first_ns = self.first_ns or times_ns[0]
        self.last_ns = times_ns[-1]
        self.requests += len(records)
        amounts = {unit: self._amounts(unit, records) for unit in self.units}
        for per in self.per:
            callers = self._callers(per, records)
            self.found[per] += len(callers) - callers.count(None)
            for (kind, unit, _), usage in self.usages.items():
                if kind == per:
                    usage.add(callers, times_ns, amounts[unit])

    def _callers(self, per: str, records: Sequence[Any]) -> list[str | None]:
        values = map(attrgetter(self.fields.attribute[per]), records)
        if per == "ip":
            return [self._address[value] for value in values]
        return [None if value is None else str(value) for value in values]

    def _amounts(self, unit: str, records: Sequence[Any]) -> list[int]:
        if unit == REQUESTS:
            return [1] * len(records)
        return [amount or 0 for amount in map(attrgetter(self.fields.attribute[unit]), records)]

    def rows(self, percent: float) -> list[Row]:
        """Return what follows when so many percent of callers are to be left alone at their busiest."""
        span_ns = self.last_ns - self.first_ns
        rows: list[Row] = []
        for (per, unit, window), usage in self.usages.items():
            peaks = usage.peaks()
            is_used = bool(peaks) and peaks[-1] > 0
            if not is_used or self.found[per] < _LEAST_SHARE * self.requests or span_ns < 2 * usage.window_ns:
                continue
            quota = rounded_up(percentile(peaks, percent))
            beyond, callers = usage.beyond(quota)
            shorter = [
                row.quota * (usage.window_ns // 1_000_000_000 // WINDOWS[row.window])
                for row in rows
                if (row.per, row.unit) == (per, unit)
            ]
            rows.append(
                Row(
                    per,
                    unit,
                    window,
                    usage.callers,
                    tuple(percentile(peaks, share) for share in PERCENTS),
                    quota,
                    beyond,
                    callers,
                    is_binding=all(quota < bound for bound in shorter),
                )
            )
        return rows

    @property
    def is_sampled(self) -> bool:
        """True if there were more callers than are looked at."""
        return any(usage.every > 1 for usage in self.usages.values())


def written(rows: Sequence[Row], match: str, head: Sequence[str]) -> str:
    """Return the policy of some rows as TOML, in shadow: it refuses nothing until that line is taken out."""
    identities = [
        'ip = { from = "client" }'
        if per == "ip"
        else f'{per} = {{ from = "state:{per}" }}  # write where yours comes from: header:, state:, resolver:'
        for per in dict.fromkeys(row.per for row in rows)
    ]
    limits = []
    for per, unit in dict.fromkeys((row.per, row.unit) for row in rows):
        rates = [
            f"{row.quota}/{row.window}"
            for row in rows
            if (row.per, row.unit) == (per, unit) and row.is_binding
        ]
        lines = [
            "[[limit]]",
            f'name = "{unit} of one {per}"',
            *([] if match == "* /*" else [f"match = {quoted(match)}"]),
            f'per = "{per}"',
            *([] if unit == REQUESTS else [f'unit = "{unit}"']),
            f'rate = "{"; ".join(rates)}"',
            'mode = "shadow"',
        ]
        limits.append("\n".join(lines) + "\n")
    return _policy(limits, [f"# {line}" for line in head], identities)


def _policy(limits: Sequence[str], head: Sequence[str] = (), identities: Sequence[str] = ()) -> str:
    top = [*head, "version = 1"]
    if identities:
        top += ["", "[identities]", *identities]
    return "\n".join([*top, "", *limits])


def quoted(text: str) -> str:
    """Return a basic TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'


def _network(text: str | None) -> str | None:
    """Return the caller that an address stands for: itself, or of IPv6 its network."""
    address = None if text is None else parse_address(text)
    if address is None:
        return None
    shift = 128 - _V6_PREFIX if address.width == 128 else 0
    return f"{address.width}:{address.bits >> shift:x}"
