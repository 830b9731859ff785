"""The numbers under `[correlation.tuning]` are the correlator's, with the same names and defaults."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

from ratelimit.correlation import Settings
from ratelimit.policy import Policy
from ratelimit.policy.tuning import Tuning

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
    table = PAGE.read_text("utf-8").partition("<!-- table: Tuning -->")[2].partition("<!-- end -->")[0]
    return {name: (kind, default, words) for name, kind, default, words in ROW.findall(table)}


def test_every_default_in_the_policy_is_the_correlators() -> None:
    correlators = {field.name: field.default for field in fields(Settings)}
    policys = {field.name: field.default for field in msgspec.structs.fields(Tuning)}
    assert policys == correlators
    assert list(policys) == list(correlators)  # so that the one is easily read beside the other
    assert {name: type(value) for name, value in policys.items()} == {
        name: type(value) for name, value in correlators.items()
    }


def test_a_policy_without_tuning_gives_the_correlator_its_defaults() -> None:
    spec = Policy.from_toml(POLICY).compiled.correlation
    assert spec is not None
    assert Settings(**spec.settings) == Settings()  # type: ignore[arg-type]


def test_every_default_stands_in_the_documentation_with_what_it_means() -> None:
    rows = documented()
    kinds = {int: "integer", float: "number"}
    for field in fields(Settings):
        kind, default, words = rows.pop(field.name)
        assert (kind, type(field.default)(default)) == (kinds[type(field.default)], field.default)
        assert len(words) > 20, field.name
    assert not rows


def test_every_number_has_bounds() -> None:
    hints = get_type_hints(Tuning, include_extras=True)
    for field in msgspec.structs.fields(Tuning):
        metas = get_args(hints[field.name])[1:]
        assert any(meta.ge is not None or meta.gt is not None for meta in metas), field.name
