"""`ratelimit make schema`: the JSON Schema of the policy file and of its file of tuning, for editors."""

from __future__ import annotations

import sys

import click

from ratelimit.policy.schema import json_schema as schema


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
