"""`ratelimit make`: hashes, prices, the schema, alerts and the dashboard."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import click

from ratelimit.cli.failure import INPUT, USAGE, Failure
from ratelimit.cli.loading import load_to_act
from ratelimit.cli.terminal import note
from ratelimit.clock import civil_s
from ratelimit.clustering.declarations import principal_key
from ratelimit.environment.extras import how_to_install
from ratelimit.identity.address import parse_address
from ratelimit.inspection.access.deployment import deployment_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy import Policy
from ratelimit.policy.schema import json_schema as schema
from ratelimit.telemetry.files import ALERTS, DASHBOARD, read


@click.command("hashes")
@click.argument("policy")
@click.argument("accounts", type=click.File("r", encoding="utf-8"), default="-")
@click.option("--identity", metavar="NAME", help="The identity that they are of, instead of accounts.")
@click.option(
    "-o", "--output", type=click.File("w", encoding="utf-8"), default="-", help="Where the CSV goes."
)
def hashes_command(policy: str, accounts: TextIO, identity: str | None, output: TextIO) -> None:
    """Write `hash,account` for each line of ACCOUNTS, as CSV.

    Screens, exports and the console show hashes, which are made with the deployment's secret key. This
    command makes them where the key is. The console's pages then show names from its output: the file is
    read by the browser and stays there. Whoever has the file can name every account in it.

    An account of several identities is written with commas, in the policy's order.

    \b
    Examples:
      ratelimit make hashes policy.toml accounts.txt -o names.csv
      list-accounts | ratelimit make hashes policy.toml - -o names.csv

    Exit code 3 if a line is no value that the identity can have; the others are written.
    """
    with ExitStack() as stack:
        bound = stack.enter_context(deployment_of(load_to_act(policy))).bound
        compiled = bound.compiled
        spec = compiled.correlation
        names = {each.name for each in compiled.identities}
        addresses = {each.name for each in compiled.identities if each.is_address}
        if identity is None and spec is None:
            identity = "account"
        if identity is not None and identity not in names:
            raise InspectionFailure(f"`{identity}` is no identity of this policy", "call")

        def hash_of(value: str) -> int | None:
            if identity in addresses and parse_address(value) is None:
                return None
            if identity is not None:
                found = [one for one in bound.extractor.value_hashes(identity, value) if one >= 0]
                return found[0] if found else None
            assert spec is not None
            parts = [value] if len(spec.principal) == 1 else value.split(",")
            if len(parts) != len(spec.principal):
                return None
            return principal_key(spec, compiled.identities, bound.extractor, parts)

        wrong = 0
        out = csv.writer(output, lineterminator="\n")
        for value in _values(accounts):
            hashed = hash_of(value)
            if hashed is None:
                wrong += 1
            else:
                out.writerow([f"{hashed:016x}", value])
        output.flush()
    if wrong:
        raise Failure(f"{wrong:,} lines are no {identity or 'account'}", INPUT)
    if output is not sys.stdout and output.name != "<stdout>":
        note(f"written to {output.name}; whoever has it can name these accounts")


def _values(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        value = line.rstrip("\r\n")
        if value:
            yield value


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


@click.command("schema")
@click.option("--tuning", is_flag=True, help="That of the file that `tuning` names.")
def schema_command(tuning: bool) -> None:
    """Print the JSON Schema of the policy file, for editors that complete and check TOML.

    \b
    Examples:
      ratelimit make schema > policy.schema.json
      ratelimit make schema --tuning > tuning.schema.json
    """
    sys.stdout.write(schema.render_tuning() if tuning else schema.render())


@click.command("alerts")
def alerts_command() -> None:
    """Print the alerts for Prometheus.

    docs/runbooks.md has a section for each: what it means, what to look at, what to do.

    \b
    Example:
      ratelimit make alerts > /etc/prometheus/ratelimit.yml
    """
    sys.stdout.write(read(ALERTS))


@click.command("dashboard")
def dashboard_command() -> None:
    """Print the dashboard for Grafana, to be imported there.

    \b
    Example:
      ratelimit make dashboard > ratelimit.json
    """
    sys.stdout.write(read(DASHBOARD))
