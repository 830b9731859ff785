"""Limits in code stand beside the policy's: in `check` of an application, `top`, `refused`, `explain`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.cli.check import rates_of
from ratelimit.integrations.fastapi import limit, limits
from ratelimit.policy import Policy
from tests.asgi.driver import Client, lifespan
from tests.cli.running import run, write_policy
from tests.support.campaign import policy_text

POLICY = """\
version = 1
[identities]
user = { from = "state:user" }
[[limit]]
name = "pages"
match = "GET /pages/*"
per = "ip"
rate = "100/hour"
[[limit]]
name = "searches"
match = []
per = "ip"
rate = "20/hour"
[store]
keys = 1000
memory = "TABLE"
"""
APPLICATION = """\
from fastapi import Depends, FastAPI
from ratelimit import RateLimitMiddleware
from ratelimit.integrations.fastapi import limit, limits

app = FastAPI()

@app.get("/pages/{name}")
async def page(name: str): ...

asked = [Depends(limits("searches")), Depends(limit("3/hour", per="PER", name="bursts"))]

@app.get("/search", dependencies=asked)
async def search(): ...

app.add_middleware(RateLimitMiddleware, policy="policy.toml")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    write_policy(tmp_path, POLICY.replace("TABLE", str(tmp_path / "table")))
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in ("served", "strictly"):
        sys.modules.pop(name, None)


def test_check_shows_each_limit_with_its_routes(folder: Path) -> None:
    (folder / "served.py").write_text(APPLICATION.replace("PER", "ip"))
    result = run("check", "served:app")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["pages", "100", "an", "hour", "ip", "GET", "/pages/{name}"] in rows
    assert ["searches", "20", "an", "hour", "ip", "GET", "/search"] in rows
    assert ["bursts", "3", "an", "hour", "ip", "GET", "/search"] in rows
    found = json.loads(run("check", "served:app", "--json").stdout)
    assert found["good"]
    assert {each["limit"]: each["routes"] for each in found["limits"]} == {
        "pages": ["GET /pages/{name}"],
        "searches": ["GET /search"],
        "bursts": ["GET /search"],
    }


def test_check_says_which_limit_binds_nothing(folder: Path) -> None:
    path = folder / "policy.toml"
    path.write_text(path.read_text().replace("GET /pages/*", "GET /page/*"))
    (folder / "served.py").write_text(APPLICATION.replace("PER", "ip"))
    result = run("check", "served:app")
    assert result.exit_code == 0
    assert "nothing is served below /page; did you mean /pages?" in " ".join(result.stderr.split())
    assert run("check", "--strict", "served:app").exit_code == 1


@pytest.mark.parametrize(
    ("per", "words"), [("acount", "`acount` is not declared"), ("user", "counts by state:user")]
)
def test_check_says_what_would_not_start(per: str, words: str, folder: Path) -> None:
    (folder / "served.py").write_text(APPLICATION.replace("PER", per))
    result = run("check", "served:app")
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("app = 1", "no RateLimitMiddleware is around this application"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("", "cannot be imported: AttributeError"),
    ],
)
def test_check_says_what_it_cannot_look_at(text: str, words: str, folder: Path) -> None:
    (folder / "strictly.py").write_text(text)
    result = run("check", "strictly:app")
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


@pytest.fixture
async def served(folder: Path) -> Any:
    """Start an application with a limit in code, and let it refuse."""
    app = FastAPI()

    @app.get(
        "/search", dependencies=[Depends(limit("2/year", per="ip", name="bursts", algorithm="fixed-window"))]
    )
    async def search() -> None: ...

    @app.get("/named", dependencies=[Depends(limits("searches"))])
    async def named() -> None: ...

    limiter = Limiter(folder / "policy.toml")
    app.add_middleware(RateLimitMiddleware, limiter=limiter, reload_interval_s=0)
    await lifespan(app)
    client = Client(app)  # type: ignore[arg-type]
    assert await client.statuses(3, "GET", "/search") == [200, 200, 429]
    yield folder
    limiter.close()


async def test_top_and_refused_know_limits_in_code(served: Path) -> None:
    """Hazard: a limit in code refuses, and no command on the host has heard of it."""
    found = json.loads(run("top", served / "policy.toml", "--json").stdout)
    (bursts,) = [each for each in found["limits"] if each["limit"] == "bursts"]
    assert (bursts["allowed"], bursts["refused"]) == (2, 1)
    result = run("show", "refused", served / "policy.toml")
    assert "bursts" in result.stdout, result.output


async def test_explain_knows_limits_in_code_with_their_numbers(served: Path) -> None:
    result = run("explain", served / "policy.toml", "-r", "GET /search ip=192.0.2.1", "--ask", "bursts")
    assert result.exit_code == 0, result.output
    assert "2 in 360 days" in result.stdout


async def test_a_live_explanation_has_the_limits_that_routes_ask_for(served: Path) -> None:
    """Hazard: a caller that a limit in code refuses was said to have room, and no word of that limit."""
    asked = ("explain", served / "policy.toml", "-r", "GET /search ip=192.0.2.1", "--live")
    result = run(*asked)
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert "If its route asks for them" in shown
    assert "bursts 2 in 360 days" in shown
    (bursts,) = [
        each for each in json.loads(run(*asked, "--json").stdout)["of_routes"] if each["limit"] == "bursts"
    ]
    assert bursts["allowed"] is False
    result = run(
        "explain", served / "policy.toml", "-r", "GET /search ip=192.0.2.1", "--live", "--ask", "bursts"
    )
    assert "If its route asks for them" not in result.stdout


async def test_limits_in_code_go_with_the_policy(served: Path) -> None:
    path = served / "policy.toml"
    path.write_text(path.read_text() + '[[limit]]\nname = "bursts"\nper = "ip"\nrate = "9/hour"\n')
    result = run("explain", path, "-r", "GET /search ip=192.0.2.1")
    assert result.exit_code == 0, result.output
    assert "9 an hour" in result.stdout  # the file's own word


def test_a_rate_stands_once() -> None:
    """Hazard: a limit per actor was said to allow "60 a minute; 60 a minute"."""
    text = policy_text() + '[[limit]]\nname = "plans"\nper = "account"\nrate = "10/minute, 100/hour"\n'
    compiled = Policy.from_toml(text).compiled
    found = {limit.name: rates_of(limit, compiled) for limit in compiled.limits}
    assert [len(limit.rules) for limit in compiled.limits if limit.name == "one actor"] == [2]
    assert (len(found["one actor"]), found["plans"]) == (1, ["10 a minute", "100 an hour"])
