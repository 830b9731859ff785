"""Tables of usage in a policy: the places of a provider's numbers, and the units that they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from ratelimit.features.table import Table
from ratelimit.policy.schema.problem import Report
from ratelimit.usage.form import TableSpec

MOST_TABLES = 32
MOST_PLACES = 64
LONGEST_KEY = 40
"""As much of a document's key as is compared; a test holds it equal to the reader's."""
MOST_KEYS = 16
MOST_DOLLARS = 1_000

Places = str | list[str]


def _of(description: str) -> Meta:
    return Meta(description=description, examples=["usage.tokens.in", ["meta.out", "0.25 * meta.characters"]])


class UsageTable(Table, frozen=True, forbid_unknown_fields=True):
    """Places of a provider's numbers: keys with dots between them, `[]` behind a list, a factor before it."""

    input_tokens: Annotated[
        Places | None,
        _of(
            "All input. Where what was cached stands beside it, that place is in both lists: the input's, "
            "and the cache's own."
        ),
    ] = None
    cache_read_tokens: Annotated[Places | None, _of("Input that was read from a cache.")] = None
    cache_write_tokens: Annotated[Places | None, _of("Input that was written to a cache.")] = None
    output_tokens: Annotated[Places | None, _of("Output, thoughts and reasoning included.")] = None
    total_tokens: Annotated[Places | None, _of("Everything: output is at least this without the input.")] = (
        None
    )
    cost: Annotated[
        Places | None,
        Meta(
            description="The provider's own dollars, which limits in `usd` take in place of a price.",
            examples=["usage.cost"],
        ),
    ] = None
    text: Annotated[
        Places | None,
        Meta(
            description="Text of the answer, counted until its usage comes. Default: as for `auto`.",
            examples=["chunks[].text"],
        ),
    ] = None


_PLACE = re.compile(r"(?:(\d{1,7}(?:\.\d{1,6})?) *\* *)?([^* ]+)")
_HEADER = re.compile(r"header:[!#$%&'+.^_`|~0-9A-Za-z-]{1,64}")
_KEY = re.compile(r"[^.\[\]]+(?:\[\])*")
_DOLLARS_TO_NANO = 1_000_000_000
_MEANINGS = {
    "input_tokens": "input_all",
    "output_tokens": "output",
    "total_tokens": "total",
    "cost": "cost",
}


def compile_tables(
    tables: Mapping[str, UsageTable], built_in: Sequence[str], report: Report
) -> dict[str, TableSpec]:
    """Return what a policy's tables say, by name.

    Args:
        tables: as the policy has them.
        built_in: names that are taken.
        report: takes the problems.
    """
    if len(tables) > MOST_TABLES:
        report.add("policy-too-many", ("usage",), f"{len(tables)} tables; {MOST_TABLES} are the most")
    found = {}
    for name, table in tables.items():
        if name in built_in:
            report.add("usage-table", ("usage", name), f"`{name}` is a form that is built in")
        elif isinstance(table, UsageTable):
            found[name] = TableSpec(name, _places(name, table, report))
    return found


def _places(name: str, table: UsageTable, report: Report) -> tuple[tuple[str, str], ...]:
    path = ("usage", name)
    written = {unit: _listed(getattr(table, unit)) for unit in table.__struct_fields__}
    written = {unit: places for unit, places in written.items() if places}
    if not written.keys() - {"text"}:
        report.add("usage-table", path, "the table has no place of a number", 'Write `output_tokens = "…"`.')
    cached = {
        place for unit in ("cache_read_tokens", "cache_write_tokens") for place in written.get(unit, ())
    }
    beside = cached.intersection(written.get("input_tokens", ()))
    if beside and beside != cached:
        report.add(
            "usage-table",
            (*path, "input_tokens"),
            f"it has some of the places of what was cached, and not `{min(cached - beside)[:64]}`",
            "Name all of them, where what was cached stands beside the input; or none, where it is within.",
        )
    if beside:
        written["input_tokens"] = [place for place in written["input_tokens"] if place not in cached]
    if sum(map(len, written.values())) > MOST_PLACES:
        report.add("policy-too-many", path, f"more than {MOST_PLACES} places")
    found: dict[str, str] = {}
    for unit, places in written.items():
        # OpenAI counts what was cached within the input, Anthropic beside it.
        within = not beside
        for place in places:
            matched = _PLACE.fullmatch(place)
            if matched is None or not _is_place(matched[2]) or (unit == "text" and not _is_text(matched)):
                report.add(
                    "usage-table",
                    (*path, unit),
                    f"`{place[:64]}` is no place in an answer",
                    'Write keys with dots between them: `"usage.tokens.out"`, `"chunks[].size"`, '
                    '`"0.25 * usage.characters"`, or `"header:x-tokens"`.',
                )
            elif unit == "cost" and float(matched[1] or 1) > MOST_DOLLARS:
                report.add("usage-table", (*path, unit), f"a cost is at most {MOST_DOLLARS} dollars a unit")
            elif matched[2] in found:
                report.add("usage-table", (*path, unit), f"`{matched[2]}` is named twice")
            else:
                found[matched[2]] = _meaning(unit, matched[1], within=within)
    return tuple(found.items())


def _listed(places: Places | None) -> list[str]:
    return [] if places is None else [places] if isinstance(places, str) else places


def _is_place(path: str) -> bool:
    if path.startswith("header:"):
        return _HEADER.fullmatch(path) is not None
    keys = path.split(".")
    return len(keys) <= MOST_KEYS and all(
        _KEY.fullmatch(key) and len(key.replace("[]", "").encode()) <= LONGEST_KEY for key in keys
    )


def _is_text(matched: re.Match[str]) -> bool:
    return matched[1] is None and not matched[2].startswith("header:")


def _meaning(unit: str, factor: str | None, *, within: bool) -> str:
    """Return what is done with a value, in the words of `usage/shapes`: the numbers of a unit add up."""
    if unit == "text":
        return "text"
    if unit == "cost":
        return f"added cost {_plain(float(factor or 1) * _DOLLARS_TO_NANO)}"
    field = (_MEANINGS.get(unit) if within or unit != "input_tokens" else "input_fresh") or {
        ("cache_read_tokens", True): "cached",
        ("cache_read_tokens", False): "cache_read",
        ("cache_write_tokens", True): "cache_written",
        ("cache_write_tokens", False): "cache_write",
    }[unit, within]
    return f"added {field}" + (f" {factor}" if factor else "")


def _plain(number: float) -> str:
    return str(round(number))
