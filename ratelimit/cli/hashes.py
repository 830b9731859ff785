"""`ratelimit make hashes`: the hash of each account in a list, to put names beside what screens show."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TextIO

import click

from ratelimit.cli.failure import INPUT, Failure
from ratelimit.cli.loading import load_to_act
from ratelimit.cli.terminal import note
from ratelimit.clustering.declarations import principal_key
from ratelimit.identity.address import parse_address
from ratelimit.inspection.access.deployment import deployment_of
from ratelimit.inspection.failure import InspectionFailure


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
