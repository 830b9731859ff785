"""The cost of a request at a limit: estimates by words, usage read from the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from ratelimit.environment.spelling import did_you_mean, nearest
from ratelimit.policy.schema.model import Limit, UsageShape
from ratelimit.policy.schema.problem import Path, Report
from ratelimit.policy.schema.rate import has_lifetime
from ratelimit.usage.form import TableSpec
from ratelimit.usage.pricing import ANY_MODEL, USD, ModelPrice, PriceSpec, others_price
from ratelimit.usage.request import MAXIMA

SHAPES: tuple[UsageShape, ...] = get_args(UsageShape)
"""The forms that are built in."""

USAGE_UNITS = (
    "output_tokens",
    "total_tokens",
    "input_tokens",
    "fresh_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)
"""The values that can be read from an answer; a test holds it equal to the readers' own list."""

BUILT_IN = (*USAGE_UNITS, "requests", "handshakes", "messages", USD)
"""The units that have a meaning without the application."""

OF_OUTPUT = ("output_tokens", "total_tokens", USD)
"""The units that an answer goes on adding to."""

REQUESTS = "requests"
DEFAULT_EXPOSURE = 4.0
"""What gives 50 clients that declare 4,096 tokens all of a budget of 60,000 a minute."""

ALMOST = 0.85
"""As near is a slip to the word that is meant; `images` and `tokens` are words of their own."""

MOST_PATTERNS = 64
LONGEST_MODEL = 128
"""As much of a model's name as is read."""

EstimateKind = Literal["declared", "learned", "header", "state"]
_SOURCE = re.compile(r"(header):([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64})|(state):([A-Za-z_][A-Za-z0-9_]{0,63})")
_WORDS = ("declared", "learned")


@dataclass(frozen=True, slots=True)
class EstimateSpec:
    """The source of a request's estimate; `name` is that of a header in lower case, or of a state."""

    kind: EstimateKind
    name: str = ""


@dataclass(frozen=True, slots=True)
class MeteringSpec:
    """The work for a limit around the application's answer."""

    usage: UsageShape | TableSpec | None
    estimate: EstimateSpec | None
    cuts: bool
    refuses_unknown: bool = False
    """In dollars: whether a model without a price is refused,"""
    unknown_price: PriceSpec | None = None
    """or what it costs; None: as the dearest."""
    models: tuple[str, ...] = ()
    """Patterns of the models it applies to; empty for any."""
    exposure: float = 0.0
    """How many budgets it bounds what was used and may be used to; 0: it bounds only what was used."""
    most: int | None = None
    """The most output tokens of any answer; None: not known."""
    unit: str = ""
    """The unit that is used and in flight, where it bounds that."""
    grants: bool = False
    """Whether it lowers the maximum in a request's body to what is left."""
    grant_field: str | None = None
    """The maximum that it inserts where a body says none; None: by the path."""


def compile_metering(
    limit: Limit,
    path: Path,
    report: Report,
    *,
    prices: Mapping[str, ModelPrice],
    tables: Mapping[str, TableSpec] = MappingProxyType({}),
) -> MeteringSpec | None:
    """Return what a limit asks for; None if the application settles, and the estimate is a number.

    Args:
        limit, path: the limit, and where it stands.
        report: takes the problems.
        prices: of models.
        tables: the policy's own forms of answers.
    """
    estimate = _estimate(limit, path, report)
    form = _form(limit, tables, path, report)
    if limit.usage is None:
        if limit.cuts:
            report.add(
                "limit-conflict",
                (*path, "on_refusal"),
                "the usage of an answer is not read, so the moment to cut it is unknown",
                'Write `usage = "auto"` as well.',
            )
    elif limit.unit not in (REQUESTS, USD, *USAGE_UNITS):  # of requests `expansion` complains
        known = ", ".join(f"`{unit}`" for unit in USAGE_UNITS)
        hint = did_you_mean(limit.unit, USAGE_UNITS) or f"Use one of {known}."
        report.add("limit-usage-unit", (*path, "unit"), f"no answer says its `{limit.unit}`", hint)
    if limit.usage is None and limit.unit not in BUILT_IN:
        meant = nearest(limit.unit.lower(), BUILT_IN, ALMOST)
        if meant is not None:
            words = f"`{limit.unit[:64]}` is a unit of your own"
            report.add("limit-unit", (*path, "unit"), words, f"Did you mean `{meant}`?")
    if limit.on == "message" and (limit.usage is not None or estimate is not None):
        report.add(
            "limit-conflict",
            (*path, "unit"),
            "a message has no answer of its own to read",
            "Count handshakes or requests, which are settled when the connection closes.",
        )
    models = _models(limit, path, report)
    has_prices = any(price != "refuse" for price in prices.values())
    if isinstance(form, TableSpec) and limit.unit == USD and not has_prices:
        has_prices = any(meaning.startswith("added cost ") for _, meaning in form.places)
    _check_prices(limit, path, report, has_prices=has_prices)
    exposure = _exposure(limit, estimate, path, report)
    grants = _grants(limit, path, report, can_grant=exposure > 0)
    if limit.usage is None and estimate is None and not models:
        return None
    return MeteringSpec(
        form,
        estimate,
        limit.cuts,
        limit.unit == USD and prices.get(ANY_MODEL) == "refuse",
        others_price(prices) if limit.unit == USD else None,
        models,
        exposure,
        limit.most,
        limit.unit if exposure else "",
        grants,
        limit.grant.partition(":")[2] or None if grants and limit.grant is not None else None,
    )


def _grants(limit: Limit, path: Path, report: Report, *, can_grant: bool) -> bool:
    """Return whether a limit writes what it grants into the body of a request."""
    if limit.grant is None:
        return False
    if not can_grant:
        return True  # `_exposure` has complained
    if getattr(limit, "adaptive", False):
        report.add(
            "limit-conflict",
            (*path, "exposure"),
            "a request with a grant takes all that it may use on arrival, so `adaptive` has nothing to add",
            "Remove `adaptive`, or `exposure`.",
        )
    field = limit.grant.partition(":")[2]
    if field and tuple(field.split(".")) not in MAXIMA:
        known = sorted(".".join(each) for each in MAXIMA)
        hint = did_you_mean(field, known) or f"Use one of {', '.join(f'`{each}`' for each in known)}."
        report.add("policy-value", (*path, "exposure"), f"no API has a maximum called `{field[:64]}`", hint)
    return True


def _form(
    limit: Limit, tables: Mapping[str, TableSpec], path: Path, report: Report
) -> UsageShape | TableSpec | None:
    """Return the form of the answers that a limit names."""
    if limit.usage is None or limit.usage in tables:
        return None if limit.usage is None else tables[limit.usage]
    for shape in SHAPES:
        if limit.usage == shape:
            return shape
    known = (*SHAPES, *tables)
    report.add(
        "limit-usage",
        (*path, "usage"),
        f"`{limit.usage[:64]}` is no form of answers",
        did_you_mean(limit.usage, known) or f"There are {', '.join(f'`{one}`' for one in known)}.",
    )
    return None


def _is_allowance(limit: Limit) -> bool:
    # Keys of another feature: without it no limit is one.
    return getattr(limit, "allowance", None) is not None


def _exposure(limit: Limit, estimate: EstimateSpec | None, path: Path, report: Report) -> float:
    """Return how many budgets a limit bounds what is used and in flight to; 0 where it does not."""
    applies = (
        (limit.usage is not None or estimate is not None)
        and limit.unit in OF_OUTPUT
        and limit.on != "message"
        and "cluster" not in limit.names
        and not _is_allowance(limit)
    )
    if not applies:
        for key, value in (("exposure", limit.bounds), ("most", limit.most)):
            if value is not None:
                report.add(
                    "limit-conflict",
                    (*path, key),
                    f"`{key}` is about the output of requests in flight, and nothing says how much that is",
                    'Write `usage = "auto"` and a unit of output, or remove it.',
                )
        return 0.0
    if limit.grant is not None:
        return 1.0
    if limit.exposure is not None:
        return limit.exposure
    return 1.0 if has_lifetime(limit.rate) else DEFAULT_EXPOSURE  # of a balance no part comes back with time


def _models(limit: Limit, path: Path, report: Report) -> tuple[str, ...]:
    models = (limit.model,) if isinstance(limit.model, str) else tuple(limit.model)
    if models and limit.on != "request":
        report.add(
            "limit-conflict",
            (*path, "model"),
            "WebSockets have no body that would name a model",
            "Remove it, or count requests.",
        )
    if len(models) > MOST_PATTERNS:
        report.add(
            "policy-too-many", (*path, "model"), f"{len(models)} patterns; {MOST_PATTERNS} are the most"
        )
    if any(not 0 < len(model) <= LONGEST_MODEL for model in models):
        report.add("policy-value", (*path, "model"), f"a model's name has 1 to {LONGEST_MODEL} characters")
    return models


def _check_prices(limit: Limit, path: Path, report: Report, *, has_prices: bool) -> None:
    """Note a limit in dollars that has a cost without a price, or answers whose cost is not known."""
    if limit.unit != USD:
        return
    if isinstance(limit.estimate, int) and limit.estimate:
        report.add(
            "limit-estimate",
            (*path, "cost"),
            "the cost of a request in dollars depends on its model and length",
            'Write `cost = "declared"` or `"learned"`.',
        )
    is_priced = limit.usage is not None or isinstance(limit.estimate, str)
    if is_priced and not has_prices:
        report.add(
            "limit-prices",
            (*path, "unit"),
            "no model has a price, so the cost of an answer is unknown",
        )


def _estimate(limit: Limit, path: Path, report: Report) -> EstimateSpec | None:
    written = limit.estimate
    if not isinstance(written, str):
        return None
    for word in _WORDS:
        if written == word:
            return EstimateSpec("declared" if word == "declared" else "learned")
    found = _SOURCE.fullmatch(written)
    if found is None:
        hint = (
            did_you_mean(written, _WORDS)
            or 'Write a number, "declared", "learned", "header:NAME" or "state:NAME".'
        )
        report.add(
            "limit-estimate", (*path, "cost"), f"`{written[:64]}` names no source of an estimate", hint
        )
        return None
    if found[1]:
        return EstimateSpec("header", found[2].lower())
    return EstimateSpec("state", found[4])
