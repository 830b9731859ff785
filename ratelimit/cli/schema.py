"""`ratelimit make schema`: the policy file's JSON Schema, for editors."""

from __future__ import annotations

import sys

import click

from ratelimit.policy.schema import json_schema as schema


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the policy file, for editors that complete and check TOML.

    \b
    Example:
      ratelimit make schema > policy.schema.json
    """
    sys.stdout.write(schema.render())
