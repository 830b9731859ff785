"""docs/wsgi.md, grpc.md, limits.md and moving-in.md: their lines run, and do what the page says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import flask_limiter
import flask_limiter.commands
import flask_limiter.util
import grpc
import limits
import limits.aio.storage
import pytest
import slowapi
import slowapi.util
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from limits.storage import storage_from_string
from werkzeug.test import Client

import ratelimit
import ratelimit.wsgi
from ratelimit.integrations.limits.storage import SharedStorage
from ratelimit.testing import isolated
from tests.pages.page import DOCS, Block, blocks, run

POLICY = """\
version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "requests"
per = "account"
rate = "2/minute"
[[limit]]
name = "output tokens"
per = "account"
unit = "output_tokens"
rate = "1000/hour"
"""


OF_SLOWAPI = {"Limiter": slowapi.Limiter, "get_remote_address": slowapi.util.get_remote_address}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run in a folder with a policy, and share nothing with others."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.toml").write_text(POLICY)
    with isolated():
        yield tmp_path


def sections(page: str) -> dict[str, list[Block]]:
    """Return a page's blocks by the heading that they are below."""
    titles = [
        (number, line[3:])
        for number, line in enumerate((DOCS / page).read_text("utf-8").splitlines(), 1)
        if line.startswith("## ")
    ]
    found: dict[str, list[Block]] = {}
    for block in blocks(page):
        title = next((name for number, name in reversed(titles) if number < block.line), "")
        found.setdefault(title, []).append(block)
    return found


def python(page: str, section: str) -> list[Block]:
    return [block for block in sections(page)[section] if block.language == "python"]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """A WSGI application."""
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"hello"]


def statuses(app: Any, times: int, method: str = "POST", path: str = "/") -> list[int]:
    client = Client(app)
    asked = {"method": method, "headers": {"x-api-key": "a"}, "environ_base": {"REMOTE_ADDR": "192.0.2.1"}}
    return [client.open(path, **asked).status_code for _ in range(times)]


def test_wsgi_page_wraps_flask_and_django_and_takes_what_an_answer_cost() -> None:
    of_flask, of_django, of_asgi = python("wsgi.md", "")
    (settling,) = python("wsgi.md", "In the application")
    app = flask.Flask("page")
    names: dict[str, Any] = {"app": app, "request": flask.request, "HttpResponse": str}
    run(settling, "wsgi.md", names)
    app.post("/")(names["chat_of_flask"])
    run(of_flask, "wsgi.md", names)
    answers = [Client(app).post("/", headers={"x-api-key": "a"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert '"output tokens";r=188' in answers[0].headers["ratelimit"]

    names |= {"get_wsgi_application": lambda: hello, "get_asgi_application": lambda: names["application"]}
    run(of_django, "wsgi.md", names)
    assert isinstance(names["application"], ratelimit.wsgi.RateLimitMiddleware)
    assert statuses(names["application"], 3)[-1] == 429
    run(of_asgi, "wsgi.md", names)
    assert isinstance(names["application"], ratelimit.RateLimitMiddleware)

    settled: list[dict[str, int]] = []
    exchange = SimpleNamespace(settle=lambda **costs: settled.append(costs))
    names["chat_of_django"](SimpleNamespace(META={"ratelimit.exchange": exchange}))
    assert settled == [{"output_tokens": 812}]


async def test_grpc_page_makes_a_server_and_matches_methods() -> None:
    (serving,), (settling,) = (python("grpc.md", "")[:1], python("grpc.md", "")[1:])
    names: dict[str, Any] = {}
    run(serving, "grpc.md", names)
    assert isinstance(names["server"], grpc.aio.Server)
    assert settling.text.splitlines()[0] == "from ratelimit.grpc import current"
    (policy,) = [block for block in sections("grpc.md")[""] if block.language == "toml"]
    limiter = ratelimit.Limiter(ratelimit.Policy.from_toml("version = 1\n" + policy.text))
    headers = [(b"x-api-key", b"a")]
    asked = {"method": "POST", "path": "/shop.Orders/Place", "headers": headers}
    allowed = sum(limiter.decide(**asked).allowed for _ in range(60))
    assert 50 <= allowed <= 51
    assert limiter.decide(**{**asked, "path": "/shop.Carts/Get"}).allowed
    limiter.close()


def storage_of(limiter: Any) -> Any:
    return limiter._storage


def own(block: Block, tmp_path: Path) -> Block:
    """Return a block with memory of this test's own."""
    text = block.text.replace("kinlimit+shared://my-api", f"kinlimit+shared://{tmp_path}/table")
    return Block(block.language, text, block.line)


def test_limits_page_counts_in_shared_memory(tmp_path: Path) -> None:
    of_slowapi, to_slowapi, of_flask, to_flask, strings = python("limits.md", "")
    names: dict[str, Any] = {
        "Limiter": slowapi.Limiter,
        "get_remote_address": slowapi.util.get_remote_address,
    }
    run(of_slowapi, "limits.md", names)
    assert not isinstance(storage_of(names["limiter"]), SharedStorage)
    run(own(to_slowapi, tmp_path), "limits.md", names)
    assert isinstance(storage_of(names["limiter"]), SharedStorage)

    for block in (of_flask, own(to_flask, tmp_path)):
        names = {"Limiter": flask_limiter.Limiter, "app": flask.Flask("page")}
        names["get_remote_address"] = flask_limiter.util.get_remote_address
        run(block, "limits.md", names)
    assert isinstance(storage_of(names["limiter"]), SharedStorage)

    names = {"storage_from_string": storage_from_string}
    run(own(strings, tmp_path), "limits.md", names)
    assert isinstance(names["storage"], SharedStorage)
    assert isinstance(names["storage_of_aio"], limits.aio.storage.Storage)


def policy_of(page: str, section: str, folder: Path) -> None:
    """Write the policy that a section shows."""
    (block,) = [block for block in sections(page)[section] if block.language == "toml"]
    (folder / "policy.toml").write_text("version = 1\n" + block.text)


def test_moving_in_from_slowapi(folder: Path) -> None:
    before, after, mounted = python("moving-in.md", "slowapi")
    names: dict[str, Any] = {
        "Limiter": slowapi.Limiter,
        "get_remote_address": slowapi.util.get_remote_address,
    }
    names |= {"app": FastAPI(), "Request": Request}
    run(before, "moving-in.md", names)
    run(own(after, folder), "moving-in.md", names)
    assert isinstance(storage_of(names["limiter"]), SharedStorage)
    policy_of("moving-in.md", "slowapi", folder)
    run(mounted, "moving-in.md", names)
    limiter = ratelimit.Limiter("policy.toml")
    asked = {"method": "GET", "path": "/items", "client": "192.0.2.1"}
    assert [limiter.decide(**asked).allowed for _ in range(6)] == [True] * 5 + [False]  # type: ignore[arg-type]
    limiter.close()


@pytest.mark.filterwarnings("ignore:Using the in-memory storage")  # what the lines before have
def test_moving_in_from_flask_limiter(folder: Path) -> None:
    before, after, wrapped = python("moving-in.md", "Flask-Limiter")
    for block in (before, own(after, folder)):
        names: dict[str, Any] = {"Limiter": flask_limiter.Limiter, "app": flask.Flask("page")}
        names["get_remote_address"] = flask_limiter.util.get_remote_address
        run(block, "moving-in.md", names)
    assert isinstance(storage_of(names["limiter"]), SharedStorage)
    names = {"app": flask.Flask("page")}  # the lines import what they use
    names["app"].post("/")(lambda: "hello")
    run(wrapped, "moving-in.md", names)
    assert statuses(names["app"], 3) == [200, 200, 429]


def test_flask_s_own_command_shows_the_storage(folder: Path) -> None:
    """Hazard: `flask limiter config` prints what a storage is, and a storage may have no such attributes."""
    app = flask.Flask("page")
    names: dict[str, Any] = {"Limiter": flask_limiter.Limiter, "app": app}
    names["get_remote_address"] = flask_limiter.util.get_remote_address
    run(own(python("moving-in.md", "Flask-Limiter")[1], folder), "moving-in.md", names)
    for command in ("config", "limits"):
        shown = app.test_cli_runner().invoke(flask_limiter.commands.cli, [command])
        assert shown.exit_code == 0, shown.output
        assert command == "limits" or "SharedStorage" in shown.output


def test_moving_in_from_limits(folder: Path) -> None:
    before, after, further = python("moving-in.md", "limits")
    names: dict[str, Any] = {
        "storage_from_string": storage_from_string,
        "account": "a",
        "parse": limits.parse,
    }
    names["FixedWindowRateLimiter"] = limits.strategies.FixedWindowRateLimiter
    run(before, "moving-in.md", names)
    run(own(after, folder), "moving-in.md", names)
    assert isinstance(names["storage"], SharedStorage)
    run(further, "moving-in.md", {**names, "ratelimit": ratelimit})
    assert re.search(r"\.allowed$", further.text.strip())


def test_moving_in_from_django_ratelimit(folder: Path) -> None:
    before, after = python("moving-in.md", "django-ratelimit")
    run(before, "moving-in.md", {"ratelimit": lambda **_: lambda view: view})
    policy_of("moving-in.md", "django-ratelimit", folder)
    names: dict[str, Any] = {"RateLimitMiddleware": ratelimit.wsgi.RateLimitMiddleware}
    names["get_wsgi_application"] = lambda: hello
    run(after, "moving-in.md", names)
    assert statuses(names["application"], 6, path="/login") == [200] * 5 + [429]
    assert statuses(names["application"], 1, path="/other") == [200]


def test_moving_in_from_fastapi_limiter(folder: Path) -> None:
    before, after = python("moving-in.md", "fastapi-limiter")
    (folder / "policy.toml").write_text("version = 1\n")
    theirs: dict[str, Any] = {"app": FastAPI(), "Depends": Depends}
    run(before, "moving-in.md", theirs)
    client = TestClient(theirs["app"], client=("192.0.2.1", 1))
    other = TestClient(theirs["app"], client=("192.0.2.2", 1))
    assert [client.get("/items").status_code for _ in range(4)] == [200] * 4
    # As the table says: one bucket for all callers.
    assert [other.get("/items").status_code for _ in range(2)] == [200, 429]
    names: dict[str, Any] = {"app": FastAPI(), "Depends": Depends}
    run(after, "moving-in.md", names)
    client = TestClient(names["app"])
    assert [client.get("/items").status_code for _ in range(6)] == [200] * 5 + [429]


def test_moving_in_from_nginx(folder: Path) -> None:
    policy_of("moving-in.md", "nginx", folder)
    limiter = ratelimit.Limiter("policy.toml")
    # As nginx admits: one, and 20 beyond it.
    assert sum(limiter.decide(identities={"account": "a"}).allowed for _ in range(40)) == 21
    assert all(limiter.decide().allowed for _ in range(40))
    limiter.close()
