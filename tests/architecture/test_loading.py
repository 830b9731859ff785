"""Costs of an import: each name loads what it needs, and `import ratelimit` nothing."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ratelimit
from ratelimit.cli.commands import GROUPS, TASKS, TOP
from ratelimit.limiter import Limiter
from tests.support.redis.port import free_port

LOADED = """
import json, sys
before = set(sys.modules)
{code}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(code: str) -> list[str]:
    """Return the modules that a fresh interpreter loads for some code."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED.format(code=code)], capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_import_loads_nothing_but_itself() -> None:
    # 139 modules and 130 ms once.
    assert [name for name in loaded_by("import ratelimit") if name.startswith("ratelimit")] == ["ratelimit"]
    assert len(loaded_by("import ratelimit")) <= 10


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        ("Limiter", ("starlette", "anyio", "click", "rich", "redis", "prometheus_client", "ratelimit.asgi")),
        ("Policy", ("starlette", "click", "rich", "redis", "ratelimit.limiter", "ratelimit.asgi")),
        ("Decision", ("starlette", "ratelimit.core", "ratelimit.policy", "ratelimit.stores")),
        ("ManualClock", ("starlette", "ratelimit.core", "ratelimit.policy", "ratelimit.stores")),
        ("EmbeddedStore", ("starlette", "ratelimit.policy", "ratelimit.limiter", "redis")),
        ("RateLimitMiddleware", ("click", "rich", "redis", "prometheus_client", "ratelimit.cli")),
    ],
)
def test_name_loads_no_more_than_it_needs(name: str, unwanted: tuple[str, ...]) -> None:
    found = loaded_by(f"from ratelimit import {name}")
    assert not [each for each in found if each.startswith(unwanted)]


def test_every_public_name_can_be_had() -> None:
    for name in ratelimit.__all__:
        assert getattr(ratelimit, name).__name__ == name
    assert set(ratelimit.__all__) <= set(dir(ratelimit))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ratelimit.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_first_screen_loads_neither_policies_nor_what_shows_results(asked: str) -> None:
    # 350 modules and 400 ms once.
    code = f"from ratelimit.cli.main import main; main(['{asked}'], standalone_mode=False)"
    found = loaded_by(f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    {code}")
    unwanted = (
        "rich",
        "msgspec",
        "asyncio",
        "ratelimit.policy",
        "ratelimit.core",
        "ratelimit.inspection.requests",
    )
    assert not [each for each in found if each.startswith(unwanted)]


# What a command that looks at a deployment does without: each is a part of the second that a person waits.
WEB = ("starlette", "jinja2", "anyio", "ratelimit.asgi.middleware", "ratelimit.wsgi", "ratelimit.console.")
WORKER = ("ratelimit.limiter", "ratelimit.runtime.runtime", "ratelimit.clustering.service")
CLIENT = ("asyncio", "ssl", "concurrent.futures", "redis", "ratelimit.inspection.access.asking")
"""What asks a server, where the policy names one."""
EXPOSITION = ("prometheus_client", "http.client", "http.server", "urllib.request")
"""What reads a page of metrics."""
REPLAY = ("ratelimit.lab.replay", "ratelimit.lab.traces")
"""What reads a trace, where one is given."""
DOES_WITHOUT = (*WEB, *WORKER, *CLIENT, *EXPOSITION, *REPLAY)
NEEDS = {"ratelimit.cli.top": ("ssl", *EXPOSITION), "ratelimit.cli.console": WEB}


def lookers() -> list[str]:
    """Return the modules of all commands that look at what runs, or act on it."""
    entries = [*TASKS["Watch"].values(), *GROUPS["show"].values(), *TASKS["Act"].values()]
    entries += [*GROUPS["act"].values(), TOP["check"], TOP["explain"], TOP["doctor"]]
    return list(dict.fromkeys(entry.module for entry in entries))


@pytest.mark.parametrize("module", lookers())
def test_module_of_a_command_that_looks_leads_to_none_of_what_runs(module: str) -> None:
    unwanted = tuple(each for each in DOES_WITHOUT if each not in NEEDS.get(module, ()))
    assert not [each for each in loaded_by(f"import {module}") if each.startswith(unwanted)]


def test_a_question_of_one_caller_loads_no_time_zones_and_no_limits_of_routes() -> None:
    """What finds zones reads the interpreter's own configuration: a thirtieth of the command's time."""
    found = loaded_by("import ratelimit.cli.who")
    assert not [each for each in found if each.startswith(("zoneinfo", "sysconfig", "ratelimit.asgi.routes"))]


POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
match = "/**"
per = "account"
rate = "2/hour"
[store]
keys = 1000
memory = "{}"
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A policy that a limiter of this process goes by, and an account that it refused."""
    folder = tmp_path_factory.mktemp("looked at")
    path = folder / "policy.toml"
    path.write_text(POLICY.format(folder / "table"))
    limiter = Limiter(str(path))
    for _ in range(3):
        limiter.decide(path="/", headers={"x-api-key": "acct-17"}, client="203.0.113.9")
    yield path
    limiter.close()


@pytest.mark.parametrize(
    "line",
    [
        "who {} acct-17",
        "journal {}",
        "show refused {}",
        "show acts {}",
        "act stop {} acct-17 --for 1h --dry-run",
        "explain {} -r '/ account=acct-17'",
        "check {}",
    ],
)
def test_command_that_looks_at_a_host_loads_none_of_what_runs(policy: Path, line: str) -> None:
    # 693 modules for `who` once, with an event loop, TLS, a parser of mail and a web server among them.
    words = shlex.split(line.format(shlex.quote(str(policy))))
    code = f"from ratelimit.cli.main import main; main({words!r}, standalone_mode=False)"
    found = loaded_by(f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    {code}")
    assert not [each for each in found if each.startswith(DOES_WITHOUT)]


def test_who_with_a_server_loads_its_client_and_nothing_else_of_what_runs(policy: Path) -> None:
    # Of 1.3 s of processor time on a busy machine the client library alone takes 0.45.
    path = policy.with_name("shared.toml")
    shared = f'url = "redis://127.0.0.1:{free_port()}"\n[hashing]\nkey = "{"0f" * 16}"\n'
    path.write_text(policy.read_text().replace("table", "shared-table") + shared)
    code = "from ratelimit.cli.main import main\n"
    code += "with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):\n"
    code += f"    main(['who', {str(path)!r}, 'acct-17'], standalone_mode=False)"
    found = loaded_by(f"import contextlib, io\n{code}")
    assert "redis" in found
    unwanted = (*WEB, *WORKER, *EXPOSITION, *REPLAY)
    assert not [each for each in found if each.startswith(unwanted)]
