"""The destinations of events, as the list `events` of a policy names them."""

from __future__ import annotations

import re

from msgspec import Struct

from ratelimit.policy.schema.problem import Report

TO_LOG = "log"
_WEBHOOK = re.compile(r"https?://[^\s]+|env:[A-Za-z_][A-Za-z0-9_]{0,127}")


class Events(Struct, frozen=True):
    """Destinations of events: outages, reloads, actors, exemptions. Each is reported once for each host."""

    log: bool = True
    file: str | None = None
    """A path, or `stderr`."""
    webhook: str | None = None
    """An address, or `env:` and the variable that holds it."""


def events_of(names: list[str]) -> Events:
    """Return the destinations that a list names; what is none of them is left out."""
    files = [name.removeprefix("file:") for name in names if name == "stderr" or name.startswith("file:")]
    webhooks = [name for name in names if _WEBHOOK.fullmatch(name)]
    return Events(TO_LOG in names, next(iter(files), None), next(iter(webhooks), None))


def check_events(names: list[str], report: Report) -> None:
    """Note an entry that is no destination, and a second file or webhook."""
    kinds: set[str] = set()
    for number, name in enumerate(names):
        kind = "webhook" if _WEBHOOK.fullmatch(name) else "file"
        path = ("events", number)
        if name == TO_LOG:
            continue
        if kind == "file" and name != "stderr" and not name.removeprefix("file:").strip():
            report.add("policy-value", path, "the path is blank", "Name a file, or remove the entry.")
        elif kind == "file" and name != "stderr" and not name.startswith("file:"):
            # An address may have a secret in it: it is not repeated.
            hint = f"Write `file:{name}`." if name.startswith(("/", "./", "../")) else None
            hint = hint or "Write `log`, `stderr`, `file:PATH`, an address `https://…`, or `env:VARIABLE`."
            report.add("policy-value", path, "the entry is no destination of events", hint)
        elif kind in kinds:
            report.add("policy-value", path, f"a second {kind}; events go to one", "Remove one of them.")
        kinds.add(kind)
