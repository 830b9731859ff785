"""One caller in a framework's eyes has one budget: asked of the frameworks themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from ratelimit import Policy
from ratelimit.clock import ManualClock
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.identity.fact import Context
from ratelimit.limiter import Limiter
from tests.asgi.driver import PEER, limit, rules
from tests.frameworks.spellings import Request, requests

ROOT = Path(__file__).parents[2]
FOLDERS = Path(sys.prefix) / "frameworks"
SEED = 20_817

IDENTITIES = {
    "bearer": "header:authorization",
    "basic": "header:authorization",
    "oauth2": "header:authorization",
    "key": "header:x-api-key",
    "key_int": "header:x-api-key as int",
    "cookie": "cookie:sid",
    "cookie_int": "cookie:sid as int",
    "int": "path:id as int",
    "uuid": "path:id as uuid",
    "float": "path:id as float",
    "text": "path:id",
}
IN_PATHS = ("int", "uuid", "float", "text")
KINDS = {
    "starlette": ("bearer", "basic", "key", "cookie", *IN_PATHS),
    "fastapi": ("bearer", "basic", "oauth2", "key", "key_int", "cookie", "cookie_int", *IN_PATHS),
    "litestar": ("bearer", "key", "cookie", *IN_PATHS),
    "quart": ("bearer", "basic", "key", "cookie", *IN_PATHS),
    "blacksheep": ("bearer", "key", "cookie", *IN_PATHS),
    "django": ("bearer", "key", "cookie", "int", "uuid", "text"),
}
VERSIONS = [
    *[(framework, None) for framework in KINDS],
    *[
        (framework, folder)
        for framework in ("starlette", "fastapi")
        for folder in ("oldest", "one-cookie-line")
    ],
]


def policy() -> Policy:
    """Return a policy with an identity for each kind of route."""
    limits = [
        limit(kind, kind, "5/hour", match=f"/{kind}/{{id}}" if kind in IN_PATHS else f"/{kind}")
        for kind in IDENTITIES
    ]
    identities = [f'{kind} = {{ from = "{source}" }}' for kind, source in IDENTITIES.items()]
    return Policy.from_toml(
        rules(*limits, identities="\n".join(identities), more='[store]\nmemory = "private"')
    )


@pytest.fixture(scope="module")
def generation() -> BoundPolicy:
    return Limiter(policy(), clock=ManualClock()).current


def identity(generation: BoundPolicy, request: Request, peer: str = PEER) -> int | None:
    """Return what a request counts as; None where no limit matches its path."""
    kind, segment, headers = request
    matched = generation.match("GET", f"/{kind}" if segment is None else f"/{kind}/{segment}")
    if not matched.is_limited:
        return None
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    extractor = generation.extractor
    return extractor.extract(raw, peer, Context(matched.params))[extractor.positions[kind]]


def callers(framework: str, folder: str | None, asked: list[Request]) -> list[str | None]:
    """Return what a framework takes each request for."""
    path = [] if folder is None else [str(FOLDERS / folder)]
    if folder is not None and not (FOLDERS / folder).is_dir():
        pytest.fail("older versions of frameworks are missing; `make test` installs them")
    answered = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.frameworks.answering", framework],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*path, str(ROOT)])},
    )
    found: list[str | None] = json.loads(answered.stdout)
    return found


@pytest.mark.parametrize(
    ("framework", "folder"), VERSIONS, ids=[" ".join(filter(None, version)) for version in VERSIONS]
)
def test_one_caller_has_one_budget(
    framework: str, folder: str | None, generation: BoundPolicy, request: pytest.FixtureRequest
) -> None:
    count = int(request.config.getoption("--spellings"))
    asked = [one for kind in KINDS[framework] for one in requests(kind, SEED, count)]
    spelled: dict[tuple[str, str], dict[int, Request]] = defaultdict(dict)
    ways: dict[str, set[str]] = defaultdict(set)
    own: set[str] = set()
    for one, caller in zip(asked, callers(framework, folder, asked), strict=True):
        kind = one[0]
        found = identity(generation, one)
        if caller is None or found is None:
            continue
        ways[kind + caller].add(repr(one))
        if found == identity(generation, one, "198.51.100.9"):  # else it counts as its address
            own.add(kind)
            spelled[kind, caller][found] = one
    split = {caller: spellings for caller, spellings in spelled.items() if len(spellings) > 1}
    assert not split
    # There was something to compare: callers with many spellings, and some with budgets of their own.
    assert own == set(KINDS[framework])
    assert max(map(len, ways.values())) >= min(count // 40, 40)
