"""One word for the caller: docs, help and messages say what a limit counts as the glossary does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ratelimit.cli.commands import GROUPS, TOP
from ratelimit.cli.main import main
from ratelimit.codes import every_code
from ratelimit.policy.schema import json_schema
from ratelimit.telemetry import document

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHER = re.compile(r"\b(principals?|consumers?|requesters?|end[- ]users?|api users?)\b(?!-)", re.IGNORECASE)
"""Words that others have for it. As keys of the policy they stand in code spans."""


def others(text: str) -> list[str]:
    """Return the words in a text's prose that are not the glossary's."""
    prose = re.sub(
        r"```.*?```|`[^`\n]*`|^    .*$|<a id=[^>]*>|\([^)\s]*\.md#[^)]*\)",
        "",
        text,
        flags=re.DOTALL | re.MULTILINE,
    )
    return [found[0] for found in OTHER.finditer(prose)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_call_the_caller_by_one_word(page: Path) -> None:
    assert others(page.read_text("utf-8")) == []


def test_help_errors_and_metrics_call_it_so() -> None:
    context = click.Context(main)
    helps = [(main.get_command(context, name) or main).help or "" for name in TOP]
    for group, entries in GROUPS.items():
        found = main.get_command(context, group)
        assert isinstance(found, click.Group)
        helps += [(found.get_command(context, name) or found).help or "" for name in entries]
    errors = [f"{entry.meaning} {entry.remedy}" for entry in every_code().values()]
    assert [word for text in (*helps, *errors) for word in others(text)] == []
    assert others(document.markdown()) == []


def test_descriptions_of_keys_call_it_so() -> None:
    texts = re.findall(r'"description": "((?:[^"\\\\]|\\\\.)*)"', json_schema.render())
    assert len(texts) > 100
    assert [word for text in texts for word in others(text)] == []


def test_the_glossary_has_each_word() -> None:
    words = re.findall(r"^\| ([\w, ]+) \|", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert {"caller", "client", "account", "customer", "actor", "identity"} <= set(words)


def test_another_word_is_found() -> None:
    assert others("The principal of `principal` waits.") == ["principal"]
