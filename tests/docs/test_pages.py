"""Every page: its links lead somewhere, its policies load, its commands exist."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from ratelimit.cli.main import main
from ratelimit.policy import Policy

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / "examples" / name / "README.md" for name in ("llm-api", "redis")),
    ROOT / "tests" / "README.md",
    *(ROOT / "benchmarks" / "correlation" / name for name in ("README.md", "RESULTS.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
CODE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]*)\)")
INDENTED = re.compile(r"^    (ratelimit .*)$", re.MULTILINE)
BESIDE = {"policy-empty", "identity-unused", "queue-unused"}
"""Warnings that a part of a policy may have."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    return CODE.sub("", path.read_text("utf-8"))


def blocks(path: Path, language: str) -> list[str]:
    return [text for _, of, text in CODE.findall(path.read_text("utf-8")) if of == language]


def anchors(path: Path) -> set[str]:
    text = prose(path)
    titles = (re.sub(r"\]\([^)]*\)", "", title) for title in re.findall(r"^#+ (.*)", text, re.M))
    made = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(prose(path)):
        file, _, anchor = target.partition("#")
        if target.startswith(("https:", "http:")):
            continue
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_anchors_of_a_page_are_its_own(path: Path) -> None:
    written = re.findall(r'<a id="([^"]+)"', prose(path))
    assert sorted(written) == sorted(set(written))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_files_that_a_page_names_are_there(path: Path) -> None:
    for named in re.findall(
        r"`((?:benchmarks|examples|ext|ratelimit|tests)/[\w/.-]+)`", path.read_text("utf-8")
    ):
        places = (ROOT / named, ROOT / f"{named}.py")
        assert any(place.exists() for place in places), named


GROWING = "docs/tutorial.md"
"""A page whose blocks make one policy together: tests/pages/test_tutorial.py loads it, step by step."""

POLICIES = [
    (name_of(path), block) for path in PAGES for block in blocks(path, "toml") if name_of(path) != GROWING
]


@pytest.mark.parametrize(("page", "block"), POLICIES)
def test_policies_load(page: str, block: str) -> None:
    whole = block if "version = 1" in block else "version = 1\n" + block
    if "[correlation.known]" in block and "principal" not in block:
        whole += '[correlation]\nprincipal = "account"\nnetwork = "ip"\npayment = "payment"\n[identities]\n'
        whole += 'account = { from = "header:x" }\npayment = { from = "state:p", missing = "skip" }\n'
    assert {warning.code for warning in Policy.from_toml(whole).warnings} <= BESIDE


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_python_on_a_page_is_python(path: Path) -> None:
    for block in blocks(path, "python"):
        compile(block, name_of(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def commands() -> list[tuple[str, str]]:
    found = []
    for path in PAGES:
        for _, language, block in CODE.findall(path.read_text("utf-8")):
            if language in ("", "sh"):
                found += [(name_of(path), line) for line in block.splitlines()]
        found += [(name_of(path), line) for line in INDENTED.findall(prose(path))]
        found += [(name_of(path), line) for line in re.findall(r"`(ratelimit [a-z][^`]*)`", prose(path))]
    return [(page, line.strip()) for page, line in found if line.strip().startswith("ratelimit ")]


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_and_their_options_exist(page: str, line: str) -> None:
    words = shlex.split(re.split(r" [>|] ", line)[0], comments=True)
    if words[1] == "COMMAND":
        return
    command: click.Command | None = main
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(1))
    assert command is not None, line
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)} <= known


def test_there_is_enough_to_check() -> None:
    assert len(POLICIES) >= 25
    assert len(commands()) >= 40
