"""`ratelimit schema`: the policy file's JSON Schema, for editors."""

from __future__ import annotations

import sys

import click

from ratelimit.policy.schema import json_schema as schema


@click.command("schema", short_help="The policy file's JSON Schema, for editors.")
def schema_command() -> None:
    """Print the JSON Schema of the policy file, for editors that complete and check TOML.

    \b
    Example:
      ratelimit schema > policy.schema.json
    """
    sys.stdout.write(schema.render())
