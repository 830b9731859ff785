"""The command as a whole: help, version, and the document about it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ratelimit.cli import failure
from ratelimit.cli.commands import GROUPS, TASKS, TOP
from ratelimit.cli.main import main
from tests.cli.running import run, write_policy

CLI_MD = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
OF_GROUPS = [f"{group} {name}" for group, entries in GROUPS.items() for name in entries]
COMMANDS = [*TOP, *OF_GROUPS]


def command(name: str) -> click.Command:
    found: click.Command = main
    for word in name.split():
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), word)
        assert inner is not None
        found = inner
    return found


def test_the_first_screen_has_every_command_of_the_top_by_task_in_80_by_24() -> None:
    result = run("--help")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert main.list_commands(click.Context(main)) == list(TOP)
    for task, entries in TASKS.items():
        first, *others = entries
        assert any(line.startswith(f"  {task:<7}{first} ") for line in lines)
        assert all(any(line.startswith(f"{'':9}{name} ") for line in lines) for name in others)
    assert len(TOP) <= 15
    assert len(lines) < 24  # and the prompt below
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_lists_its_commands(group: str) -> None:
    result = run(group, "--help")
    for name in GROUPS[group]:
        assert re.search(rf"^  {name}\s", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [[], *(name.split() for name in COMMANDS)])
def test_help_fits_a_terminal_of_80_columns(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert [line for line in run(*arguments, "--help").stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_helps_with_an_example(name: str) -> None:
    result = run(*name.split(), "--help")
    assert result.exit_code == 0
    assert f"ratelimit {name}" in result.stdout
    assert re.search(r"^ +Examples?:$", result.stdout, re.MULTILINE)
    assert "\\b" not in result.stdout  # click's mark of lines that stay as they are, where it is none


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in GROUPS])
def test_document_knows_every_option(name: str) -> None:
    text = CLI_MD.read_text("utf-8")
    section = text.split(f"\n## `ratelimit {name}", 1)[1].split("\n## ", 1)[0]
    found = command(name)
    # A group's own commands are documented in its section.
    below = found.commands.values() if isinstance(found, click.Group) else ()
    parameters = [parameter for one in (found, *below) for parameter in one.params]
    for parameter in parameters:
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            assert f"`{max(parameter.opts, key=len)}" in section, parameter.opts
    documented = set(re.findall(r"`(--[a-z-]+)", section))
    known = {option for parameter in parameters for option in parameter.opts}
    assert documented <= known | {"--help"}


def test_document_knows_every_exit_code() -> None:
    text = CLI_MD.read_text("utf-8")
    for code in (
        failure.POLICY,
        failure.USAGE,
        failure.INPUT,
        failure.DEPLOYMENT,
        failure.FAULT,
        failure.INTERRUPTED,
    ):
        assert re.search(rf"^\| {code} \|", text, re.MULTILINE)


def test_wrong_use_is_a_sentence() -> None:
    for arguments in (["nonsense"], ["check"], ["replay", "a", "b", "--format", "xml"]):
        result = run(*arguments)
        assert result.exit_code == failure.USAGE
        assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chek", "policy.toml"], "No such command 'chek'. Did you mean `check`?"),
        (["Explain", "policy.toml"], "It is `ratelimit explain`."),
        (["exempt", "policy.toml", "acct-17"], "It is `ratelimit act exempt`."),
        (["import", "app.py"], "It is `ratelimit make policy`."),
        (["suggets", "access.log"], "Did you mean `ratelimit make limits`?"),
        (["acts", "policy.toml"], "It is `ratelimit show acts`."),
        (["budget", "policy.toml"], "It is `ratelimit show budget` or `ratelimit act budget`."),
        (["refusd", "policy.toml"], "Did you mean `ratelimit show refused`?"),
        (["act", "stp", "policy.toml"], "Did you mean `stop`?"),
        (["show", "journal", "policy.toml"], "It is `ratelimit journal`."),
        (["policy.toml"], "The command comes first: `ratelimit check policy.toml`."),
        (["policy.toml", "top"], "The command comes first: `ratelimit top policy.toml`."),
        (["explain", "policy.toml", "GET /x"], "a request goes behind -r: -r 'GET /x'"),
        (["explain", "policy.toml"], '-r "POST /v1/chat ip=203.0.113.9"'),
    ],
)
def test_what_was_meant_is_said(arguments: list[str], says: str, tmp_path: Path) -> None:
    policy = write_policy(tmp_path)
    result = run(*(str(policy) if one == "policy.toml" else one for one in arguments))
    assert result.exit_code == failure.USAGE
    assert says.replace("policy.toml", str(policy)) in " ".join(result.stderr.split())


def test_version() -> None:
    assert run("--version").stdout.startswith("ratelimit, version ")


def test_help_does_not_wait_for_what_it_does_not_need() -> None:
    code = (
        "import sys; from ratelimit.cli.main import main; main.list_commands(None);"
        "print([m for m in ('prometheus_client', 'uvicorn', 'redis') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
