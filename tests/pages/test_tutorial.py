"""`docs/tutorial.md`: its policy grows, its application grows, and each step answers as the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jwt
import pytest
from fastapi.testclient import TestClient

from ratelimit.policy import Policy
from ratelimit.testing import isolated
from tests.pages.page import DOCS, blocks, run
from tests.support.redis.server import Server

PAGE = "tutorial.md"
SECRET = "a secret of the tests, with 32 bytes or more"
_LINE = re.compile(
    r"(?P<method>[A-Z]+) (?P<path>\S+)(?: as (?P<user>\w+))?(?: plan (?P<plan>\w+))?"
    r"(?: from (?P<address>[\d.]+))?(?P<elsewhere> on another host)? → (?P<expected>.*)"
)
STEPS = re.findall(r"^## (\d)\. ", (DOCS / PAGE).read_text("utf-8"), re.MULTILINE)


def text_of_step(step: str) -> tuple[str, list[Any], list[str]]:
    """Return what a reader has at a step: the policy, the application's blocks, the lines of requests."""
    text = (DOCS / PAGE).read_text("utf-8")
    starts = {
        found[1]: text[: found.start()].count("\n") for found in re.finditer(r"^## (\d)\. ", text, re.M)
    }
    end = starts.get(str(int(step) + 1), text.count("\n"))
    policy, application, lines = "", [], []
    for block in blocks(PAGE):
        if block.line > end:
            break
        if block.language == "toml":
            policy = block.text if block.text.startswith("version = 1") else f"{policy}{block.text}\n"
        elif block.language == "python":
            application.append(block)
        elif block.language == "text" and block.line > starts[step]:
            lines += block.text.splitlines()
    return policy, application, lines


def ask(client: TestClient, line: re.Match[str]) -> list[int]:
    """Send the requests of a line and return their statuses."""
    headers = {}
    if line["user"]:
        claims = {"sub": line["user"], "plan": line["plan"]}
        headers["authorization"] = f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"
    if line["address"]:
        client = TestClient(client.app, client=(line["address"], 1))
    return [client.request(line["method"], line["path"], headers=headers).status_code for _ in expected(line)]


def expected(line: re.Match[str]) -> list[int]:
    told = re.findall(r"(\d+) × (\d+)", line["expected"])
    return [int(status) for number, status in told for _ in range(int(number))]


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes the application of a step on a host."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("RATELIMIT_HASH_KEY", "0" * 32)

    def make(policy: str, application: list[Any], host: str) -> Any:
        folder = tmp_path / host
        folder.mkdir()
        monkeypatch.chdir(folder)
        (folder / "policy.toml").write_text(policy)
        names: dict[str, Any] = {"__name__": "page"}
        for block in application:
            run(block, PAGE, names)
        return names["app"]

    return make


@pytest.mark.parametrize("step", [step for step in STEPS if step != "6"])
def test_step_answers_as_the_page_says(step: str, hosts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATELIMIT_REDIS", "redis://127.0.0.1:1/0")  # `isolated` asks no server
    policy, application, lines = text_of_step(step)
    codes = {warning.code for warning in Policy.from_toml(policy).warnings}
    assert codes == ({"identity-unused"} if step == "2" else set())  # the plan, which step 3 uses
    with isolated(), TestClient(hosts(policy, application, "one"), client=("203.0.113.7", 1)) as client:
        for line in lines:
            found = _LINE.fullmatch(line)
            assert found, line
            assert ask(client, found) == expected(found), line
    assert lines or step == "5"


def test_step_of_several_hosts_counts_on_the_server(
    hosts: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATELIMIT_REDIS", server.url)
    policy, application, lines = text_of_step("6")
    # The server's clock is real: no unit may come back while the test runs.
    policy = policy.replace("/minute", "/year")
    with (
        TestClient(hosts(policy, application, "one")) as one,
        TestClient(hosts(policy, application, "other")) as other,
    ):
        for line in lines:
            found = _LINE.fullmatch(line)
            assert found, line
            assert ask(other if found["elsewhere"] else one, found) == expected(found), line
    assert any("another host" in line for line in lines)
