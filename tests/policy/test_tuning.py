"""The numbers under `[correlation.tuning]` are the correlator's own: documented, each with its bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

from msgspec.structs import fields

from ratelimit.correlation import Settings
from ratelimit.policy import Policy

PAGE = Path(__file__).parents[2] / "docs" / "correlation.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| `([^`]*)` \| (.*) \|$", re.MULTILINE)
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
    table = PAGE.read_text("utf-8").partition("<!-- table: Settings -->")[2].partition("<!-- end -->")[0]
    return {name: (kind, default, words) for name, kind, default, words in ROW.findall(table)}


def test_a_policy_without_tuning_gives_the_correlator_its_defaults() -> None:
    spec = Policy.from_toml(POLICY).compiled.correlation
    assert spec is not None
    assert spec.settings == Settings()


def test_every_default_stands_in_the_documentation_with_what_it_means() -> None:
    rows = documented()
    kinds = {int: "integer", float: "number"}
    for field in fields(Settings):
        kind, default, words = rows.pop(field.name)
        assert (kind, type(field.default)(default)) == (kinds[type(field.default)], field.default)
        assert len(words) > 20, field.name
    assert not rows


def test_every_number_has_bounds() -> None:
    hints = get_type_hints(Settings, include_extras=True)
    for field in fields(Settings):
        metas = get_args(hints[field.name])[1:]
        assert any(meta.ge is not None or meta.gt is not None for meta in metas), field.name
