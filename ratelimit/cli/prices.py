"""`ratelimit make prices import`: what models cost, written for the policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ratelimit.cli.failure import INPUT, USAGE, Failure
from ratelimit.clock import civil_s
from ratelimit.environment.extras import how_to_install
from ratelimit.policy import Policy

# The policy's key, and what the package calls it.
_KINDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
}
_OF_LONG = ("input", "output", "cache_read", "cache_write")
_SECOND = {"cache_write": "cache_write_1h_mtok", "audio_input": "cache_audio_read_mtok"}
"""The second price of a list: writing for an hour, sounds from a cache."""
_REQUESTS = "requests_kcount"


@click.group("prices")
def prices_command() -> None:
    """Manage the prices of a policy, which limits in the unit `usd` use.

    \b
    Example:
      ratelimit make prices import gpt-4o-mini --into policy.toml
    """


@prices_command.command("import", short_help="Write models' prices, from the package genai-prices.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL…")
@click.option("--provider", help="The provider, where several have a model of that name.")
@click.option(
    "--into",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Append them to this policy file, which must not have prices for these models yet.",
)
def import_command(models: tuple[str, ...], provider: str | None, into: Path | None) -> None:
    """Write what models cost today, as tables for a policy file.

    Prices are read from the package genai-prices while you edit, and never while requests are limited:
    look at them before you commit the file. A price that rises with the length of the input is
    written with its steps.

    \b
    Examples:
      ratelimit make prices import gpt-4o-mini claude-sonnet-4-5
      ratelimit make prices import gemini-2.5-pro --into policy.toml
    """
    tables = "\n".join(_table(model, provider) for model in dict.fromkeys(models))
    if into is None:
        click.echo(tables, nl=False)
        return
    before = into.read_text("utf-8")
    known = Policy.from_toml(before, str(into)).file.prices if _has_prices(before) else {}
    twice = [model for model in models if model in known]
    if twice:
        raise Failure(
            f"{into} has a price for {', '.join(twice)} already", USAGE, hint="Remove its table first."
        )
    into.write_text(before.rstrip("\n") + "\n\n" + tables, "utf-8")


def _has_prices(text: str) -> bool:
    # A policy with a limit in dollars is not sound before it has a price.
    return "[prices" in text


def _table(model: str, provider: str | None) -> str:
    """Return a model's table."""
    price, source = _price(model, provider)
    lines: list[str] = []
    steps: set[int] = set()
    for key, kind in _KINDS.items():
        found = getattr(price, kind, None)
        if found is None:
            continue
        steps |= {step.start for step in getattr(found, "tiers", ())}
        lines.append(f"{key} = {_written(price, key, lambda one: getattr(one, 'base', one))}")
    if not any(line.startswith("output") for line in lines):
        lines.append("output = 0")
    requests = getattr(price, _REQUESTS, None)
    if requests is not None:
        lines.append(f"request = {_number(Decimal(getattr(requests, 'base', requests)) / 1000)}")
    if not steps:
        return "\n".join([f"[prices.{json.dumps(model)}]", f"# {source}", *lines]) + "\n"
    head = f"[[prices.{json.dumps(model)}]]"
    for start in sorted(steps):
        lines += ["", head, f"above = {start}", *_long(price, start)]
    return "\n".join([head, f"# {source}", *lines]) + "\n"


def _long(price: Any, start: int) -> list[str]:
    """Return what a request costs with more input than so much."""
    lines = []
    for key in _OF_LONG:
        found = getattr(price, _KINDS[key], None)
        if found is not None:
            lines.append(f"{key} = {_written(price, key, lambda one: _reached(one, start))}")
    if not any(line.startswith("output") for line in lines):
        lines.append("output = 0")
    return lines


def _reached(found: Any, start: int) -> Any:
    """Return a number with more input than so much."""
    reached = [step.price for step in getattr(found, "tiers", ()) if step.start <= start]
    return reached[-1] if reached else getattr(found, "base", found)


def _written(price: Any, key: str, number: Callable[[Any], Any]) -> str:
    """Return the value of a key: a number, or two."""
    first = _number(number(getattr(price, _KINDS[key])))
    second = getattr(price, _SECOND.get(key, ""), None)
    return first if second is None else f"[{first}, {_number(number(second))}]"


def _price(model: str, provider: str | None) -> tuple[Any, str]:
    """Return a model's price, and where it is from."""
    try:
        snapshot = import_module("genai_prices.data_snapshot").get_snapshot()
        release = import_module("importlib.metadata").version("genai-prices")
    except ModuleNotFoundError:
        raise Failure(
            "prices are imported with genai-prices, which is not installed",
            USAGE,
            hint=f"Install it: {how_to_install('genai-prices')}",
        ) from None
    try:
        owner, found = snapshot.find_provider_model(model, None, provider, None)
    except LookupError as error:
        raise Failure(
            f"{error}", INPUT, hint="Name the model as its provider does; --provider tells whose."
        ) from error
    price = found.get_prices(datetime.fromtimestamp(civil_s(), UTC))
    if getattr(price, "input_mtok", None) is None:
        raise Failure(f"{model} has no price by the token", INPUT)
    return price, f"{owner.id}, by genai-prices {release}; dollars for a million tokens."


def _number(value: Any) -> str:
    text = format(Decimal(value).normalize(), "f")
    return text if "." in text else f"{text}.0"
