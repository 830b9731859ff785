"""One word for the caller, one for the actor: docs, help and messages say what the glossary says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ratelimit.cli.commands import GROUPS, TOP
from ratelimit.cli.main import main
from ratelimit.codes import every_code
from ratelimit.events import EVENTS
from ratelimit.policy.schema import json_schema
from ratelimit.telemetry import document

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHER = re.compile(r"\b(principals?|consumers?|requesters?|end[- ]users?|api users?)\b(?!-)", re.IGNORECASE)
"""Words that others have for it. As keys of the policy they stand in code spans."""
CLUSTERS = re.compile(r"\bclusters?\b", re.IGNORECASE)
"""The policy's word for an actor. In prose it is a server's, or a proxy's, of several nodes."""
_OF_SERVERS = re.compile(r"redis|sentinel|server|node|replicas|envoy|http2|cells", re.IGNORECASE)
_NO_PROSE = r"```.*?```|`[^`\n]*`|<a id=[^>]*>|\]\([^)]*\)|\"clusters?\"|--clusters|\bclusters\.json"
_SERVERS_PAGES = ("redis.md", "leases.md", "algorithms.md")


def others(text: str) -> list[str]:
    """Return the words in a text's prose that are not the glossary's."""
    prose = re.sub(
        r"```.*?```|`[^`\n]*`|^    .*$|<a id=[^>]*>|\([^)\s]*\.md#[^)]*\)",
        "",
        text,
        flags=re.DOTALL | re.MULTILINE,
    )
    return [found[0] for found in OTHER.finditer(prose)]


def clusters(text: str) -> list[str]:
    """Return the sentences in a text's prose that call an actor a cluster."""
    prose = re.sub(_NO_PROSE, "", text, flags=re.DOTALL)
    said = [line for line in prose.splitlines() if CLUSTERS.search(line)]
    return [line for line in said if not _OF_SERVERS.search(line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_call_the_caller_by_one_word(page: Path) -> None:
    assert others(page.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "page", [each for each in PAGES if each.name not in _SERVERS_PAGES], ids=lambda page: page.name
)
def test_pages_call_the_actor_by_one_word(page: Path) -> None:
    """Hazard: `cluster` here and `actor` there, and a reader who looks for the difference."""
    assert clusters(page.read_text("utf-8")) == []


def commands() -> Iterator[click.Command]:
    """Yield every command."""
    context = click.Context(main)
    for name in TOP:
        yield main.get_command(context, name) or main
    for group, entries in GROUPS.items():
        found = main.get_command(context, group)
        assert isinstance(found, click.Group)
        for name in entries:
            yield found.get_command(context, name) or found


def test_help_errors_and_metrics_call_it_so() -> None:
    helps = [command.help or "" for command in commands()]
    helps += [getattr(option, "help", "") or "" for command in commands() for option in command.params]
    errors = [f"{entry.meaning} {entry.remedy}" for entry in every_code().values()]
    assert [word for text in (*helps, *errors) for word in others(text)] == []
    assert others(document.markdown()) == []
    events = [kind.says for kind in EVENTS.values()]
    assert [each for text in (*helps, *errors, *events, document.markdown()) for each in clusters(text)] == []


def test_alerts_and_dashboards_call_the_actor_so() -> None:
    folder = ROOT / "ratelimit" / "telemetry"
    alerts = re.sub(
        r"ratelimit_\w+|correlation\.tuning\.clusters", "", (folder / "alerts.yml").read_text("utf-8")
    )
    texts = re.findall(r'"(?:title|description)": "([^"]*)"', (folder / "grafana.json").read_text("utf-8"))
    assert len(texts) > 50
    assert [each for text in (alerts, *texts) for each in clusters(text)] == []


def test_messages_call_the_actor_so() -> None:
    """Texts of commands, of pages, and of what explains a verdict. Keys of reports are as in the policy."""
    found = []
    for folder in ("cli", "inspection", "console", "correlation", "load"):
        for path in sorted((ROOT / "ratelimit" / folder).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            docs = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
            found += [
                (path.name, each)
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
                if id(node) not in docs
                for each in clusters(node.value)
            ]
        for path in sorted((ROOT / "ratelimit" / folder).rglob("*.jinja")):
            text = re.sub(r"\{[{%].*?[%}]\}", "", path.read_text("utf-8"), flags=re.DOTALL)
            found += [(path.name, each) for each in clusters(text)]
    assert found == []


def test_descriptions_of_keys_call_it_so() -> None:
    texts = re.findall(r'"description": "((?:[^"\\\\]|\\\\.)*)"', json_schema.render())
    assert len(texts) > 100
    assert [word for text in texts for word in others(text)] == []
    assert [each for text in texts for each in clusters(text)] == []


def test_the_glossary_has_each_word() -> None:
    words = re.findall(r"^\| ([\w, ]+) \|", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert {"caller", "client", "account", "customer", "actor", "identity"} <= set(words)


def test_another_word_is_found() -> None:
    assert others("The principal of `principal` waits.") == ["principal"]
    assert clusters('Its cluster is likely.\nA Redis cluster is none, nor is `per = "cluster"`.') == [
        "Its cluster is likely."
    ]
