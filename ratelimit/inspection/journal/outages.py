"""Outages of the server, for people: one entry each, and one for the hiccups of a host that follow at once.

A host notes when it leaves the server and when it is back. A server that answers now and then fills a journal
with such pairs, in which acts and policies are not found any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ratelimit.inspection import formatting
from ratelimit.inspection.journal.entries import SAME_NS, SUMS, Entry, sums_words

AWAY, BACK = "store-away", "store-back"
"""The kinds of entries that a host notes."""
OUTAGE = "outage"
"""The kind of the entries made of them here."""
HICCUP_S = 10.0
"""An outage that ends within so long pages nobody; a longer one is an entry of its own."""
_DAY_NS = 24 * 3600 * 10**9


@dataclass
class _Outages:
    """Outages of one host: a long one, or hiccups that each began within a minute of the one before."""

    host: str
    begin_ns: int
    end_ns: int = 0
    times: int = 0
    longest_s: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("away_seconds", *SUMS), 0))

    def add(self, back: Entry) -> None:
        """Add the end of one."""
        fields = back.fields
        for name in self.sums:
            self.sums[name] += _number(fields, name)
        self.times += 1
        self.longest_s = max(self.longest_s, _number(fields, "away_seconds"))
        self.end_ns = back.time_ns

    def entry(self) -> Entry:
        """Return them as one entry, at their beginning."""
        away_s, end = self.sums["away_seconds"], formatting.instant(self.end_ns)
        until = end if self.end_ns - self.begin_ns >= _DAY_NS else end[11:]
        if self.times == 1:
            said = f"the server was not used for {_seconds(away_s)}, until {until}"
        else:
            said = f"the server was lost {self.times:,} times until {until}, for {_seconds(away_s)} in all, "
            said += f"{_seconds(self.longest_s)} at most"
        said += sums_words(self.sums)
        fields = {**self.sums, "times": self.times, "until": formatting.iso(self.end_ns)}
        return Entry(self.begin_ns, self.host, OUTAGE, "", said, fields, is_warning=True, end_ns=self.end_ns)


def folded(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries with each outage as one, and hiccups of a host that follow within a minute as one.

    An outage that goes on stays as it is, and so does what is folded already.

    Args:
        entries: of a journal, in any order.

    Returns:
        They by time, an outage at its beginning.
    """
    found: list[Entry] = []
    open_: dict[str, Entry] = {}
    runs: dict[str, _Outages] = {}
    closed: list[_Outages] = []
    for each in sorted(entries, key=lambda each: each.time_ns):
        if each.kind == AWAY:
            found += [open_[each.host]] if each.host in open_ else []  # its end was not noted
            open_[each.host] = each
        elif each.kind == BACK:
            begun, away_s = open_.pop(each.host, None), _number(each.fields, "away_seconds")
            begin_ns = each.time_ns - round(away_s * 10**9) if begun is None else begun.time_ns
            run = runs.pop(each.host, None)
            is_hiccup = away_s <= HICCUP_S
            if run is None or not is_hiccup or begin_ns - run.end_ns > SAME_NS:
                run = _Outages(each.host, begin_ns)
                closed.append(run)
            if is_hiccup:
                runs[each.host] = run
            run.add(each)
        else:
            found.append(each)
    found += [*open_.values(), *(run.entry() for run in closed)]
    return sorted(found, key=lambda each: each.time_ns)


def _number(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    return value if isinstance(value, int | float) else 0


def _seconds(seconds: float) -> str:
    return formatting.wait(round(seconds * 10**9))
