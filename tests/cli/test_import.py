"""`ratelimit import`: policies from Envoy's descriptors and slowapi's decorators."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.cli.importing.draft import PolicyDraft, identity_name
from ratelimit.cli.importing.envoy import read_envoy
from ratelimit.cli.importing.slowapi import read_slowapi
from ratelimit.policy import Policy
from tests.cli.running import run

ENVOY = """\
domain: api
descriptors:
  - key: remote_address
    rate_limit: { unit: minute, requests_per_unit: 60 }
    descriptors:
      - key: path
        value: /login
        shadow_mode: true
        rate_limit:
          name: logins
          unit: hour
          requests_per_unit: 5
  - key: user_id
    rate_limit: { unit: day, requests_per_unit: 1000 }
  - key: user_id
    value: batch
    rate_limit: { unit: day, requests_per_unit: 50000 }
  - key: user_id
    value: internal
    rate_limit: { unlimited: true }
  - key: generic_key
    value: slow
    rate_limit: { unit: second, requests_per_unit: 2 }
  - key: method
    value: post
    descriptors:
      - key: path
        value: /v1/*
        rate_limit: { unit: second, requests_per_unit: 7 }
  - key: path
    value: /files*
    rate_limit: { unit: second, requests_per_unit: 7 }
  - key: api_key
    quota_mode: true
    colour: blue
    rate_limit: { unit: fortnight, requests_per_unit: 7 }
"""

SLOWAPI = '''\
from fastapi import APIRouter, FastAPI, Request
from slowapi import Limiter
from slowapi.util import get_remote_address

raise RuntimeError("run")

def by_key(request: Request) -> str:
    """Who asks."""
    return request.headers.get("X-Api-Key") or get_remote_address(request)

def by_plan(request):
    plan = lookup(request)
    return plan

limiter = Limiter(key_func=get_remote_address, default_limits=["100/minute"], strategy="moving-window")
app = FastAPI()
router = APIRouter(prefix="/v1")
app.include_router(router, prefix="/api")

@app.get("/")
@limiter.limit("5/minute; 100/day")
def home(request: Request): ...

@router.post("/chat/{room:int}")
@limiter.limit("10/hour", key_func=by_key, cost=3)
async def chat(request: Request): ...

@app.api_route("/files/{name:path}", methods=["GET", "PUT"])
@limiter.limit("1/second", key_func=lambda request: request.cookies["sid"])
def files(request: Request): ...

@app.get("/plan")
@limiter.limit(limit_of_plan, key_func=by_key)
def plan(request: Request): ...

@app.get("/odd")
@limiter.limit("5/minute", key_func=by_plan, exempt_when=lambda: True)
def odd(request: Request): ...

@app.get("/a")
@limiter.shared_limit("9/minute", scope="search")
def a(request: Request): ...

@app.post("/b")
@limiter.shared_limit("9/minute", scope="search")
def b(request: Request): ...

@app.get("/health")
@limiter.exempt
def health(request: Request): ...

@limiter.limit("5/minute")
def nowhere(request: Request): ...
'''


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def imported(folder: Path, name: str, text: str, *options: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the limits of what is written, by name, and the notes."""
    result = run("import", write(folder, name, text), "--json", *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    policy = Policy.from_toml(found["policy"])
    limits = {
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
        for limit in policy.file.limit
    }
    return limits, found["notes"]


def test_descriptors_become_limits(tmp_path: Path) -> None:
    limits, _ = imported(tmp_path, "r.yaml", ENVOY)
    assert {name: (one["match"], one["per"], one["rate"]) for name, one in limits.items()} == {
        "remote_address": ("* /*", "ip", "60/minute"),
        "logins": ("/login", "ip", "5/hour"),
        "user_id": ("* /*", "user_id", "1000/day"),
        "method=post / path=/v1/*": ("POST /v1/*", [], "7/second"),
    }
    assert {one["algorithm"] for one in limits.values()} == {"fixed-window"}
    assert limits["logins"]["mode"] == "shadow"
    assert limits["user_id"]["tiers"] == {"batch": "50000/day", "internal": "unlimited"}


def test_what_descriptors_do_not_tell_is_said_with_its_line(tmp_path: Path) -> None:
    _, notes = imported(tmp_path, "r.yaml", ENVOY)
    said = {(each["line"], each["lost"], each["message"].partition(":")[0]) for each in notes}
    assert said == {
        (13, False, "user_id"),
        (21, True, "generic_key = slow"),
        (30, True, "/files*"),
        (34, True, "quota_mode has no counterpart here"),
        (35, True, "colour is not a setting that is known here"),
        (36, True, "api_key"),
    }


def test_operator_says_where_a_key_comes_from(tmp_path: Path) -> None:
    result = run("import", write(tmp_path, "r.yaml", ENVOY), "--from", "user_id=state:user", "--json")
    found = json.loads(result.stdout)
    assert 'user_id = { from = "state:user" }' in found["policy"]
    assert 13 not in {each["line"] for each in found["notes"]}


def test_config_map_is_looked_into(tmp_path: Path) -> None:
    text = "kind: ConfigMap\ndata:\n  config.yaml: |\n" + "".join(
        f"    {line}\n" for line in ENVOY.splitlines()
    )
    limits, notes = imported(tmp_path, "r.yaml", text)
    assert len(limits) == 4
    assert "generic_key" in text.splitlines()[min(each["line"] for each in notes if each["lost"]) - 1]


def test_decorators_become_limits(tmp_path: Path) -> None:
    limits, _ = imported(tmp_path, "app.py", SLOWAPI)
    assert {name: (one["match"], one["per"], one["rate"], one["cost"]) for name, one in limits.items()} == {
        "home": ("GET /", "ip", "5/minute; 100/day", None),
        "chat": ("POST /api/v1/chat/{room}", ["api_key", "room"], "10/hour", 3),
        "files": ("GET|PUT /files/*", "sid", "1/second", None),
        "search": (["GET /a", "POST /b"], "ip", "9/minute", None),
        "default": ("* /*", "ip", "100/minute", None),
    }
    assert {one["algorithm"] for one in limits.values()} == {"sliding-log"}
    assert "GET /health" in limits["default"]["except"]
    assert "GET /" in limits["default"]["except"]


def test_what_only_a_run_would_tell_is_said_with_its_line(tmp_path: Path) -> None:
    _, notes = imported(tmp_path, "app.py", SLOWAPI)
    lines = SLOWAPI.splitlines()
    said = {(lines[each["line"] - 1].strip()[:34], each["lost"]) for each in notes}
    assert said == {
        ("limiter = Limiter(key_func=get_rem", False),
        ('@limiter.limit("1/second", key_fun', False),
        ("@limiter.limit(limit_of_plan, key_", True),
        ('@limiter.limit("5/minute", key_fun', True),
        ('@limiter.limit("5/minute")', True),
    }


def test_paths_of_a_route_count_together_where_slowapi_is_told_so(tmp_path: Path) -> None:
    text = SLOWAPI.replace("strategy=", 'key_style="endpoint", strategy=')
    assert imported(tmp_path, "app.py", text)[0]["chat"]["per"] == "api_key"


def test_same_name_from_another_source_is_another_identity(tmp_path: Path) -> None:
    text = SLOWAPI.replace("{room:int}", "{api_key}")
    result = run("import", write(tmp_path, "app.py", text))
    assert 'api_key_2 = { from = "path:api_key" }' in result.stdout
    assert 'per = ["api_key", "api_key_2"]' in result.stdout


def test_more_than_a_log_holds_is_a_sliding_window(tmp_path: Path) -> None:
    limits, notes = imported(tmp_path, "app.py", SLOWAPI.replace("10/hour", "50000/hour"))
    assert (limits["chat"]["algorithm"], limits["home"]["algorithm"]) == ("sliding-window", "sliding-log")
    assert any("sliding window" in each["message"] for each in notes)


def test_code_is_parsed_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **more: object) -> None:
        raise AssertionError("run")

    path = write(tmp_path, "app.py", SLOWAPI + "\nopen('/nonexistent/file', 'w')\n")
    real = builtins.exec
    monkeypatch.setattr(builtins, "exec", lambda code, *more: real(code, *more) if more else forbidden())
    monkeypatch.setattr(builtins, "eval", forbidden)
    assert run("import", path).exit_code == 0


def test_what_is_written_is_for_check_and_what_is_said_for_people(tmp_path: Path) -> None:
    for name, text in (("r.yaml", ENVOY), ("app.py", SLOWAPI)):
        result = run("import", write(tmp_path, name, text))
        policy = write(tmp_path, "policy.toml", result.stdout)
        assert run("check", policy).exit_code == 0
        assert f"{name}:" in result.stderr
        assert "not carried over" in result.stderr


@pytest.mark.parametrize(
    ("name", "text", "exit_code", "says"),
    [
        ("r.yaml", "a: [", 3, "no YAML"),
        ("r.yaml", "a: 1", 3, "no `descriptors`"),
        ("r.yaml", "a: &a [1]\ndescriptors: [*a, *a]", 3, "aliases"),
        ("r.yaml", "a: &a [*a]", 3, "aliases"),
        ("r.yaml", "data:\n  a: |\n    descriptors: [\n", 3, "no YAML"),
        ("r.yaml", "? [a]\n: b\n", 3, "no `descriptors`"),
        ("r.yaml", "descriptors: [5]", 3, "is a mapping"),
        ("app.py", "def (", 3, "no Python"),
        ("app.py", "x = 1", 3, "no limit of slowapi"),
        ("app.py", "\0", 3, "no Python"),
    ],
)
def test_other_files_are_sentences(tmp_path: Path, name: str, text: str, exit_code: int, says: str) -> None:
    result = run("import", write(tmp_path, name, text))
    assert result.exit_code == exit_code
    assert isinstance(result.exception, SystemExit)
    assert says in result.stderr
    assert result.stdout == ""


def test_name_of_a_file_is_no_line_of_the_policy(tmp_path: Path) -> None:
    path = write(tmp_path, "a\nversion = 2\n.py", SLOWAPI)
    result = run("import", path)
    assert result.exit_code == 0, result.output
    assert "\nversion = 2" not in result.stdout


def test_wrong_usage_is_a_sentence(tmp_path: Path) -> None:
    yaml, python = write(tmp_path, "r.yaml", ENVOY), write(tmp_path, "app.py", SLOWAPI)
    assert run("import", yaml, python).exit_code == 2
    assert run("import", yaml, "--from", "user_id").exit_code == 2
    assert run("import", tmp_path / "none.yaml").exit_code == 3


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
descriptors = st.recursive(
    st.lists(
        st.dictionaries(
            st.sampled_from(["key", "value", "rate_limit", "shadow_mode", "descriptors", "x"]),
            st.one_of(
                scalars,
                st.sampled_from(["remote_address", "path", "/a", "user", "generic_key"]),
                st.fixed_dictionaries(
                    {"unit": st.sampled_from(["second", "day", "x"]), "requests_per_unit": st.integers(-1, 9)}
                ),
            ),
            max_size=5,
        ),
        max_size=3,
    ),
    lambda inner: st.lists(
        st.fixed_dictionaries({"key": st.text(max_size=4), "descriptors": inner}), max_size=2
    ),
    max_leaves=6,
)


@given(descriptors)
def test_any_descriptors_give_a_policy_or_a_sentence(tree: Any) -> None:
    draft = PolicyDraft()
    try:
        read_envoy("r.yaml", json.dumps({"descriptors": tree}), draft, {})
    except ValueError:
        return
    Policy.from_toml(draft.text(["any"]))


def test_keys_that_are_no_text_are_passed_over() -> None:
    draft = PolicyDraft()
    read_envoy("r.yaml", "descriptors:\n- ? [a]\n  : b\n  rate_limit: {? [x] : y, unit: day}\n", draft, {})
    assert draft.limits == []


@given(st.text("abc@.()\n =:'\"limiterLt", max_size=60))
def test_any_text_gives_a_policy_or_a_sentence(text: str) -> None:
    draft = PolicyDraft()
    try:
        read_slowapi([("a.py", SLOWAPI.partition("@app")[0] + text)], draft)
    except ValueError:
        return
    Policy.from_toml(draft.text([]))


@given(st.text(max_size=20))
def test_name_of_an_identity_is_one(text: str) -> None:
    name = identity_name(text)[:60]
    Policy.from_toml(
        f'version = 1\n[identities]\n{name} = {{ from = "header:x" }}\n'
        f'[[limit]]\nname = "l"\nper = "{name}"\nrate = "1/day"\n'
    )
