"""The numbers of the file of `tuning`: documented, each with its bounds."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import fields

from ratelimit.correlation import Settings
from ratelimit.policy import Policy
from ratelimit.policy.schema import json_schema
from ratelimit.policy.schema.tuning import Tuning

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+?) \| `?([^`|]*?)`? \| (.*) \|$", re.MULTILINE)
POLICY = """
version = 1
[identities]
account = { from = "header:x-account" }
client = { from = "header:user-agent", missing = "skip" }
[correlation]
principal = "account"
network = "ip"
client = "client"
"""


def documented() -> dict[str, tuple[str, str, str]]:
    found = {}
    for page, struct in (("correlation", "Settings"), ("policy", "Tuning")):
        text = (DOCS / f"{page}.md").read_text("utf-8")
        table = text.partition(f"<!-- table: {struct} -->")[2].partition("<!-- end -->")[0]
        found |= {name: (kind, default, words) for name, kind, default, words in ROW.findall(table)}
    return found


def test_a_policy_without_tuning_gives_the_correlator_its_defaults() -> None:
    spec = Policy.from_toml(POLICY).compiled.correlation
    assert spec is not None
    assert spec.settings == Settings()


def test_every_default_stands_in_the_documentation_with_what_it_means() -> None:
    rows = documented()
    kinds = {int: "integer", float: "number"}
    for field in fields(Tuning):
        kind, default, words = rows.pop(field.name)
        if isinstance(field.default, int | float):
            assert (kind, type(field.default)(default)) == (kinds[type(field.default)], field.default)
        assert len(words) > 20, field.name
    assert not rows


def test_every_number_has_bounds() -> None:
    properties = json_schema.tuning_schema()["properties"]
    for field in fields(Tuning):
        assert {"minimum", "exclusiveMinimum", "enum"} & set(properties[field.name]), field.name
