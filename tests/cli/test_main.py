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
from ratelimit.cli.right_line import right_line
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


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("who acct-7", "who policy.toml acct-7"),
        ("who acct-7 FILE", "who FILE acct-7"),
        ("who acct-7 203.0.113.9", "who policy.toml acct-7 203.0.113.9"),
        ("who FILE", "who FILE CALLER…"),
        ("FILE who acct-7", "who FILE acct-7"),
        ("show refused FILE acct-7", "who FILE acct-7"),
        ("show refused FILE requests", "show refused FILE --limit requests"),
        ("show FILE acct-7", "who FILE acct-7"),
        ("show FILE refused", "show refused FILE"),
        ("show budget acct-7 FILE", "show budget FILE acct-7"),
        ("show budget FILE", "show budget FILE ACCOUNT"),
        ("budget FILE acct-7 requests=5", ""),
        ("top acct-7 FILE", "who FILE acct-7"),
        ("journal FILE requests", "journal FILE --of requests"),
        ("journal 1h FILE", "journal FILE --since 1h"),
        ("journal FILE 30m requests", "journal FILE --since 30m --of requests"),
        ("journal requests FILE --hours", "journal FILE --hours --of requests"),
        ("act budget FILE acct-7 requests=600", "act budget set FILE acct-7 requests=600"),
        ("act budget FILE set acct-7 requests=600", "act budget set FILE acct-7 requests=600"),
        ("act budget set acct-7 FILE requests=600", "act budget set FILE acct-7 requests=600"),
        ("act budget set FILE acct-7", "act budget set FILE acct-7 LIMIT=NUMBER..."),
        ("act budget FILE acct-7", "show budget FILE acct-7"),
        ("act FILE stop acct-7", "act stop FILE acct-7"),
        ("act stop acct-7 FILE --for 2h", "act stop FILE acct-7 --for 2h"),
        ("act stop acct-7", "act stop policy.toml acct-7"),
        ("act merge acct-7 acct-8 FILE", "act merge FILE acct-7 acct-8"),
        ("act declare FILE Acme --payment card-9", "act declare organisation FILE Acme --payment card-9"),
        ("act undo 7 FILE", "act undo FILE 7"),
        ("act undo FILE", "act undo FILE ACT"),
        ("act note words FILE", "act note FILE words"),
        ("stop FILE acct-7", "act stop FILE acct-7"),
        ("ban FILE acct-7", "act stop FILE acct-7"),
        ("explain FILE GET", "explain FILE -r GET"),
        ("replay trace.ndjson FILE", "replay FILE trace.ndjson"),
        ("check", "check policy.toml"),
        ("check FILE --no-such", ""),
        ("who FILE acct-7 --no-such", ""),
        ("journal FILE --since soon", ""),
    ],
)
def test_words_in_another_order_or_missing_get_the_right_line(
    arguments: str, line: str, tmp_path: Path
) -> None:
    """Hazard: a person at night is told that an argument is extra, and not which line to write."""
    policy = str(write_policy(tmp_path))
    result = run(*arguments.replace("FILE", policy).split())
    assert result.exit_code in (failure.USAGE, failure.POLICY, failure.INPUT, failure.DEPLOYMENT)
    said = " ".join(result.stderr.split())
    if line:
        assert said.endswith(f"Write: ratelimit {line.replace('FILE', policy)}"), said
    else:
        assert "Write: ratelimit" not in said, said


def test_every_command_with_a_policy_has_a_right_line(tmp_path: Path) -> None:
    """Each command of one policy, written with the policy last, gets its own line back."""
    policy = str(write_policy(tmp_path))
    for name in COMMANDS:
        found = command(name)
        arguments = [each for each in found.params if isinstance(each, click.Argument) and each.required]
        if isinstance(found, click.Group) or len(arguments) < 2 or arguments[0].name != "policy":
            continue
        words = [f"word-{at}" for at in range(len(arguments) - 1)]
        line = right_line(main, [*name.split(), *words, policy])
        assert line == " ".join(["ratelimit", name, policy, *words]), name
        assert not right_line(main, [*name.split(), policy, *words]), name


def test_version() -> None:
    assert run("--version").stdout.startswith("ratelimit, version ")


def test_help_does_not_wait_for_what_it_does_not_need() -> None:
    code = (
        "import sys; from ratelimit.cli.main import main; main.list_commands(None);"
        "print([m for m in ('prometheus_client', 'uvicorn', 'redis') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
