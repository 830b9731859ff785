"""Lines that the README and the page of the metrics tell a reader to write: they work as described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from ratelimit import Limiter
from ratelimit.policy import Policy

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def block(heading: str, language: str) -> str:
    """Return the first block of code below a heading."""
    section = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)[0]  # type: ignore[no-any-return]


async def test_first_limit_admits_its_rate_and_refuses_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.toml").write_text(block("A first limit", "toml"), "utf-8")
    names: dict[str, Any] = {}
    exec(block("A first limit", "python"), names)
    transport = httpx.ASGITransport(names["app"], client=("203.0.113.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answers = [await client.get("/search") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    refused = answers[-1].headers
    shown = dict(re.findall(r"^([a-z-]+): (.*)$", README.split("HTTP/1.1 429")[1].split("```")[0], re.M))
    assert {name: refused[name] for name in shown} == shown


async def test_application_with_metrics_serves_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
    (tmp_path / "policy.toml").write_text(block("A first limit", "toml"), "utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    transport = httpx.ASGITransport(names["app"], client=("203.0.113.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        await client.get("/nothing")
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert 'ratelimit_requests_total{action="allow",reason="limits"} 2' in answer.text


def test_the_entry_point_without_asgi_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (call,) = re.findall(r"`(Limiter\(.*\))`", README)
    (tmp_path / "policy.toml").write_text(block("A first limit", "toml"), "utf-8")
    monkeypatch.chdir(tmp_path)
    assert eval(call, {"Limiter": Limiter}).allowed


def test_first_limit_is_a_few_lines_without_a_warning() -> None:
    lines = {
        language: [line for line in block("A first limit", language).splitlines() if line.strip()]
        for language in ("toml", "python")
    }
    assert len(lines["python"]) <= 8
    assert len(lines["toml"]) <= 8
    assert Policy.from_toml(block("A first limit", "toml")).warnings == ()


def test_pip_comes_first_and_the_demo_is_the_first_command_of_a_clone() -> None:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    commands = [text for language, text in blocks if not language]
    assert commands[0].startswith("pip install kinlimit")
    assert re.findall(r"make [a-z-]+", README)[0] == "make demo"
    assert "make demo\n" in commands
