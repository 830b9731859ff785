"""`ratelimit make policy`: the command, what it writes, what it refuses, and how it says so."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit.policy import Policy
from tests.cli.running import run

SLOWAPI = '''\
from fastapi import APIRouter, FastAPI, Request
from slowapi import Limiter
from slowapi.util import get_remote_address

raise RuntimeError("run")

def by_key(request: Request) -> str:
    """Who asks."""
    return request.headers["X-Api-Key"]

limiter = Limiter(key_func=get_remote_address, strategy="moving-window")
app = FastAPI()
app.state.limiter = limiter
router = APIRouter(prefix="/v1")
app.include_router(router, prefix="/api")

@app.get("/")
@limiter.limit("5/minute")
def home(request: Request): ...

@router.post("/chat/{room:int}")
@limiter.limit("10/hour", key_func=by_key, cost=3)
async def chat(request: Request): ...

@app.get("/a")
@limiter.shared_limit("9/minute", scope="search")
def a(request: Request): ...

@app.post("/b")
@limiter.shared_limit("9/minute", scope="search")
def b(request: Request): ...

@app.get("/health")
@limiter.exempt
@limiter.limit("1/minute")
def health(request: Request): ...
'''
INEXACT = """
@app.get("/odd")
@limiter.limit("5/minute; 20/day", exempt_when=lambda: "\\n")
def odd(request: Request): ...

@app.get("/plan")
@limiter.limit(limit_of_plan)
def plan(request: Request): ...
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def limits_of(policy: str) -> dict[str, dict[str, Any]]:
    return {
        limit.name: {
            "match": limit.match,
            "except": limit.except_,
            "per": limit.per,
            "rate": limit.rate,
            "algorithm": limit.algorithm,
            "mode": limit.mode,
            "cost": limit.cost,
            "tiers": {name: tier.rate or "unlimited" for name, tier in limit.tiers.items()},
        }
        for limit in Policy.from_toml(policy).file.limit
    }


def test_decorators_become_limits(tmp_path: Path) -> None:
    result = run("make", "policy", write(tmp_path, "app.py", SLOWAPI))
    assert result.exit_code == 0, result.output
    limits = limits_of(result.stdout)
    assert {name: (one["match"], one["per"], one["rate"], one["cost"]) for name, one in limits.items()} == {
        "home": ("GET /", "address", "5/minute", None),
        "chat": ("POST /api/v1/chat/{room}", ["api_key", "room"], "10/hour", 3),
        "search": (["GET /a", "POST /b"], "address", "9/minute", None),
    }
    assert {one["algorithm"] for one in limits.values()} == {"sliding-log"}
    assert limits["home"]["except"] == "HEAD /"  # which FastAPI answers 405, uncounted


def test_names_are_followed_over_files(tmp_path: Path) -> None:
    made, _, _ = SLOWAPI.partition("@app.get")
    made = write(tmp_path, "made.py", made + 'RATE = "7/minute"\n')
    text = "from .made import app, limiter as bound, RATE\nfrom fastapi import Request\n"
    text += '@app.get("/c")\n@bound.limit(f"{RATE}")\ndef c(request: Request): ...\n'
    result = run("make", "policy", made, write(tmp_path, "pages.py", text))
    assert result.exit_code == 0, result.output
    assert limits_of(result.stdout)["c"]["rate"] == "7/minute"


def test_constants_of_a_class_and_sums_are_their_values(tmp_path: Path) -> None:
    names = "N = 5\nclass Rates:\n    HOME: str = f'{N * 2 + 1}/minute'\n    ODD = '1/minute'\n"
    rates = write(tmp_path, "rates.py", names + "    ODD = '2/minute'\n")
    for spelled in ("Rates.HOME", "rates.Rates.HOME"):
        head = "from . import rates\nfrom .rates import Rates\n"
        path = write(tmp_path, "app.py", head + SLOWAPI.replace('"5/minute"', spelled))
        result = run("make", "policy", rates, path)
        assert result.exit_code == 0, result.output
        assert limits_of(result.stdout)["home"]["rate"] == "11/minute"
    # What is bound twice, or by another module, is not known.
    write(tmp_path, "app.py", head + SLOWAPI.replace('"5/minute"', "Rates.ODD"))
    assert run("make", "policy", rates, path).exit_code == 1
    write(tmp_path, "app.py", head + SLOWAPI.replace('"5/minute"', "Rates.HOME") + "\nRates.HOME = '9/day'\n")
    assert run("make", "policy", rates, path).exit_code == 1


def test_fields_of_the_library_are_kept(tmp_path: Path) -> None:
    for written, kept in (
        (", headers_enabled=True)", True),
        (", headers_enabled=False)", False),
        (")", False),
    ):
        text = SLOWAPI.replace('strategy="moving-window")', f'strategy="moving-window"{written}')
        result = run("make", "policy", write(tmp_path, "app.py", text))
        assert result.exit_code == 0, result.output
        assert Policy.from_toml(result.stdout).file.headers.x_ratelimit is kept


def test_name_is_not_taken_from_another_file_of_that_name(tmp_path: Path) -> None:
    # Its `get_remote_address` is its own, and the application's is slowapi's.
    text = "def get_remote_address(request):\n    return 'all'\nlimiter = None\n"
    (tmp_path / "other").mkdir()
    stray = [write(tmp_path, "util.py", text), write(tmp_path / "other", "made.py", text)]
    made, _, _ = SLOWAPI.partition("@app.get")
    pages = "from .made import app, limiter\nfrom fastapi import Request\n"
    pages += '@app.get("/c")\n@limiter.limit("7/minute")\ndef c(request: Request): ...\n'
    result = run(
        "make", "policy", *stray, write(tmp_path, "made.py", made), write(tmp_path, "pages.py", pages)
    )
    assert result.exit_code == 0, result.output
    assert limits_of(result.stdout)["c"]["per"] == "address"


def test_rate_that_another_module_binds_is_not_known(tmp_path: Path) -> None:
    rates = write(tmp_path, "rates.py", 'RATE = "7/minute"\n')
    text = "from . import rates\n" + SLOWAPI.replace('"5/minute"', "rates.RATE")
    assert run("make", "policy", rates, write(tmp_path, "app.py", text)).exit_code == 0
    later = write(tmp_path, "later.py", 'from . import rates\nrates.RATE = "700/minute"\n')
    assert run("make", "policy", rates, later, tmp_path / "app.py").exit_code == 1


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [("app.py", SLOWAPI + INEXACT, [39, 39, 43])],
)
class TestWhatCannotBeCarried:
    def test_all_of_it_is_said_and_nothing_is_written(
        self, tmp_path: Path, name: str, text: str, lines: list[int]
    ) -> None:
        result = run("make", "policy", write(tmp_path, name, text))
        assert result.exit_code == 1
        assert result.stdout == ""
        for line in lines:
            assert f"{name}:{line}: not carried over: " in result.stderr
        assert f"{len(lines)} things cannot be carried over" in result.stderr

    def test_partial_writes_the_rest_and_says_so_in_the_policy(
        self, tmp_path: Path, name: str, text: str, lines: list[int]
    ) -> None:
        result = run("make", "policy", "--partial", write(tmp_path, name, text))
        assert result.exit_code == 5
        assert limits_of(result.stdout)
        head = result.stdout.partition("version")[0].splitlines()
        assert all(line.startswith("#") for line in head)
        for line in lines:
            assert any(f"{name}:{line}: " in each for each in head)
            assert f"{name}:{line}: not carried over: " in result.stderr
        policy = write(tmp_path, "policy.toml", result.stdout)
        assert run("check", policy).exit_code == 0

    def test_json_says_the_same(self, tmp_path: Path, name: str, text: str, lines: list[int]) -> None:
        path = write(tmp_path, name, text)
        refused, partial = (
            run("make", "policy", "--json", path),
            run("make", "policy", "--json", "--partial", path),
        )
        assert (refused.exit_code, partial.exit_code) == (1, 5)
        said, written = json.loads(refused.stdout), json.loads(partial.stdout)
        assert (said["policy"], said["limits"]) == (None, 0)
        assert written["limits"] == len(limits_of(written["policy"]))
        assert sorted(each["line"] for each in said["losses"]) == lines
        assert written["losses"] == said["losses"]
        assert all(each["file"].endswith(name) and each["why"] for each in said["losses"])


def test_words_of_a_source_cannot_leave_their_line(tmp_path: Path) -> None:
    result = run("make", "policy", "--partial", write(tmp_path, "app.py", SLOWAPI + INEXACT))
    assert result.exit_code == 5
    assert "[deny]\n" not in result.stdout
    assert "\x1b" not in result.output
    assert Policy.from_toml(result.stdout).file.deny == {}


def test_name_of_a_file_is_no_line_of_the_policy(tmp_path: Path) -> None:
    result = run("make", "policy", write(tmp_path, "a\nversion = 2\n.py", SLOWAPI))
    assert result.exit_code == 0, result.output
    assert "\nversion = 2" not in result.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app.py", SLOWAPI.partition("@app")[0]),
        ("app.py", SLOWAPI.partition("@app")[0] + "@app.get('/')\n@limiter.exempt\ndef a(request): ...\n"),
        (
            "app.py",
            SLOWAPI.partition("@app")[0] + "@app.get('/')\n@limiter.limit(f())\ndef a(request): ...\n",
        ),
    ],
)
@pytest.mark.parametrize("options", [[], ["--partial"]])
def test_import_that_says_nothing_is_an_error(
    tmp_path: Path, name: str, text: str, options: list[str]
) -> None:
    result = run("make", "policy", *options, write(tmp_path, name, text))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "not one limit" in result.stderr


def test_fixed_window_is_refused_where_it_is_written_and_where_it_is_the_default(tmp_path: Path) -> None:
    for written in ("", ', strategy="fixed-window"'):
        text = SLOWAPI.replace(', strategy="moving-window"', written)
        result = run("make", "policy", write(tmp_path, "app.py", text))
        assert result.exit_code == 1
        assert "app.py:11: not carried over" in result.stderr
        assert 'strategy="moving-window"' in result.stderr
    assert run("make", "policy", "--partial", write(tmp_path, "app.py", text)).exit_code == 5


def test_more_than_a_log_holds_is_a_loss(tmp_path: Path) -> None:
    path = write(tmp_path, "app.py", SLOWAPI.replace("10/hour", "50000/hour"))
    assert run("make", "policy", path).exit_code == 1
    limits = limits_of(run("make", "policy", "--partial", path).stdout)
    assert (limits["chat"]["algorithm"], limits["home"]["algorithm"]) == ("sliding-window", "sliding-log")


def test_code_is_parsed_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **more: object) -> None:
        raise AssertionError("run")

    path = write(tmp_path, "app.py", SLOWAPI + "\nopen('/nonexistent/file', 'w')\n")
    real = builtins.exec
    monkeypatch.setattr(builtins, "exec", lambda code, *more: real(code, *more) if more else forbidden())
    monkeypatch.setattr(builtins, "eval", forbidden)
    assert run("make", "policy", path).exit_code == 0


@pytest.mark.parametrize(
    ("name", "text", "exit_code", "says"),
    [
        ("app.py", "def (", 3, "no Python"),
        ("app.py", "x = 1", 3, "no limit of slowapi"),
        ("app.py", "\0", 3, "no Python"),
    ],
)
def test_other_files_are_sentences(tmp_path: Path, name: str, text: str, exit_code: int, says: str) -> None:
    result = run("make", "policy", write(tmp_path, name, text))
    assert result.exit_code == exit_code
    assert isinstance(result.exception, SystemExit)
    assert says in result.stderr
    assert result.stdout == ""


def test_wrong_usage_is_a_sentence(tmp_path: Path) -> None:
    yaml, python = write(tmp_path, "r.yaml", "domain: a\n"), write(tmp_path, "app.py", SLOWAPI)
    told = run("make", "policy", yaml, python)
    assert told.exit_code == 2
    assert "ratelimit serve --descriptors" in told.stderr
    assert run("make", "policy", tmp_path / "none.py").exit_code == 3


def _mounted(tmp_path: Path, source: str, application: object) -> object:
    """Run the lines that the command says, over an application; return it."""
    (tmp_path / "app.py").write_text(source)
    done = run("make", "policy", tmp_path / "app.py")
    (tmp_path / "policy.toml").write_text(done.stdout)
    _, _, said = done.stderr.partition("in place of its decorators:\n")
    assert said, done.stderr
    lines = "\n".join(line.strip() for line in said.splitlines())
    names: dict[str, object] = {"app": application}
    exec(lines.replace("policy.toml", f"{tmp_path}/policy.toml"), names)
    return names["app"]


def test_lines_that_mount_the_middleware_run_as_they_are(tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    with TestClient(_mounted(tmp_path, SLOWAPI, Starlette())) as client:  # type: ignore[arg-type]
        assert [client.get("/").status_code for _ in range(6)] == [404] * 5 + [429]


def test_lines_that_mount_the_middleware_of_flask_run_as_they_are(tmp_path: Path) -> None:
    from flask import Flask

    source = (
        "from flask import Flask\nfrom flask_limiter import Limiter\n"
        "from flask_limiter.util import get_remote_address\napp = Flask(__name__)\n"
        'limiter = Limiter(get_remote_address, app=app, strategy="moving-window")\n'
        '@app.get("/")\n@limiter.limit("5/minute")\ndef home(): ...\n'
    )
    app = _mounted(tmp_path, source, Flask("app"))
    client = app.test_client()  # type: ignore[attr-defined]
    assert [client.get("/").status_code for _ in range(6)] == [404] * 5 + [429]
