"""Templates filled in: everything that was written by others is escaped, whatever it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ratelimit.correlation.description import describe_account, reason_of
from ratelimit.environment.printable import printable
from ratelimit.inspection import formatting
from ratelimit.inspection.actors.glance import glance_at
from ratelimit.inspection.acts.own_numbers import all_changed
from ratelimit.inspection.acts.words import act_words
from ratelimit.inspection.callers.naming import EVERYONE, Caller
from ratelimit.inspection.hosts.moment import over_hosts
from ratelimit.inspection.identities import short_hash
from ratelimit.load.shed import named as named_class
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.acts.kinds import KINDS
from ratelimit.telemetry.names import WORKERS
from ratelimit.telemetry.snapshot import Snapshot, quantile_bound_s

HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
ASSETS: Mapping[str, tuple[str, bytes]] = {
    path.name: (_TYPES[path.suffix], path.read_bytes())
    for path in sorted((HERE / "assets").iterdir())
    if path.suffix in _TYPES
}
"""By name, type and content of the files that pages ask for."""
VERSION = hashlib.sha256(b"".join(content for _, content in ASSETS.values())).hexdigest()[:12]
"""Changes with the assets: browsers keep them under an address that has it."""


def named(caller: Caller) -> str:
    """Return a caller's name for an address or a form: a hash, never a value."""
    if caller.what == "actor":
        return f"actor={caller.hash:016x}"
    if caller.what == "together":
        return f"hash:{caller.hash:016x}"
    return named_hash(caller.identity, caller.hash)


def named_hash(identity: str, hashed: int) -> str:
    """Return the name of an identity's value by its hash; several identities have one hash together."""
    is_one = identity not in ("", EVERYONE) and "," not in identity and " + " not in identity
    return f"{identity}=hash:{hashed:016x}" if is_one else f"hash:{hashed:016x}"


def _counted_by(rule: LimitRule, compiled: CompiledPolicy) -> str:
    """Return what the counter of a limit belongs to, in the words of pages."""
    return formatting.as_said(formatting.per(rule, compiled))


def _plural(number: int, noun: str) -> str:
    return formatting.count(number, noun)


def _rate(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    # Below each other the points of small and middling numbers are in one place.
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def _slowest(counts: Snapshot) -> str:
    """Return the time within which 99 of 100 decisions were made."""
    bound_s = quantile_bound_s(counts.latency, 0.99)
    if bound_s is None:
        return "–"
    return "more than 5 ms" if bound_s == float("inf") else formatting.wait(round(bound_s * 1e9))


def _made() -> Environment:
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "short": short_hash,
        "hex": lambda number: f"{number:016x}",
        "number": lambda number: f"{number:,}",
        "rate": _rate,
        "share": formatting.share,
        "count": _plural,
        "instant": formatting.instant,
        "wait": formatting.wait,
        "amount": formatting.amount,
        "part": formatting.amount_of,
        "act": act_words,
        "named": named,
        "printable": printable,
        "slowest": _slowest,
        "workers": lambda counts: int(counts.gauge(WORKERS)),
    }
    found.globals |= {
        "formatting": formatting,
        "counted_by": _counted_by,
        "named_class": named_class,
        "named_hash": named_hash,
        "over_hosts": over_hosts,
        "reason_of": reason_of,
        "describe_account": describe_account,
        "glance_at": glance_at,
        "all_changed": all_changed,
        "version": VERSION,
        "act_titles": {each.kind: each.title for each in KINDS},
    }
    return found


TEMPLATES = _made()


def prepare() -> None:
    """Compile all templates: the first page of each kind is not to wait for it."""
    for name in TEMPLATES.list_templates():
        TEMPLATES.get_template(name)


def rendered(name: str, **values: Any) -> str:
    """Return a template filled in."""
    return TEMPLATES.get_template(f"{name}.jinja").render(**values)
