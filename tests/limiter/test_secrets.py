"""Secrets (passwords, keys, tokens, customers): in no repr, no error, no log and no output."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ratelimit import Limiter, Policy
from ratelimit.environment.location import LocationError, parse_location
from ratelimit.errors import RateLimitError
from tests.cli.running import run

PASSWORD, USER, HEX = "hunter2-of-the-server", "a-token-as-user", "00112233445566778899aabbccddeeff"
TOKEN, CUSTOMER, CARD = "sk-live-of-a-friend", "customer-of-ours", "card-4711"
PASSPHRASE, FILED = "passphrase-of-the-environment", "password-of-the-file"
SECRETS = (PASSWORD, USER, HEX, TOKEN, CUSTOMER, CARD, PASSPHRASE, FILED)
SERVER = "127.0.0.1:1"
PLAIN = (str, bytes, int, float, bool, type(None), dict, list, tuple, set, frozenset, type, property)
"""Values themselves, and what is made of nothing else: they are what is secret, and say so when asked."""

POLICY = f"""\
version = 1
[[limit]]
name = "requests"
per = "account"
rate = "5/minute"
[identities]
account = {{ from = "header:x-api-key" }}
payment = {{ from = "header:x-payment", missing = "skip" }}
[allow]
account = ["{TOKEN}"]
[deny]
account = ["{TOKEN}-foe"]
[correlation]
principal = "account"
network = ["ip"]
payment = "payment"
[correlation.known]
exempt = ["{CUSTOMER}"]
together = [["{CUSTOMER}-1", "{CUSTOMER}-2"]]
apart = [["{CUSTOMER}-3", "{CUSTOMER}-4"]]
[correlation.known.organisations.one]
payment = ["{CARD}"]
account = ["{CUSTOMER}-5"]
"""
STORES = {
    "embedded": f'[hashing]\nkey = "{HEX}"\n[store]\nmemory = "private"\nkeys = 1000\n',
    "url": f'[hashing]\nkey = "{HEX}"\n'
    f'[store]\nurl = "redis://{USER}:{PASSWORD}@{SERVER}/0"\nmemory = "private"\n',
    "key": '[hashing]\nkey = "env:SECRET_KEY"\n'
    f'[store]\nurl = "redis://{USER}@{SERVER}/0"\nmemory = "private"\n'
    f'password = "{PASSWORD}"\n',
    "variable": '[hashing]\nkey = "env:SECRET_KEY"\n[store]\nurl = "env:SECRET_URL"\nmemory = "private"\n',
    "file": '[hashing]\nkey = "env:SECRET_KEY"\n'
    f'[store]\nurl = "redis://{SERVER}/0"\nmemory = "private"\npassword = "file:FOLDER/password"\n',
    "sentinels": f'[hashing]\nkey = "{HEX}"\n'
    f'[store]\nurl = "redis+sentinel://{USER}:{PASSWORD}@{SERVER}/main"\nmemory = "private"\n',
}


@pytest.fixture(params=STORES)
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SECRET_KEY", PASSPHRASE)
    monkeypatch.setenv("SECRET_URL", f"redis://{USER}:{PASSWORD}@{SERVER}/0")
    (tmp_path / "password").write_text(FILED)
    path = tmp_path / "policy.toml"
    path.write_text(POLICY + STORES[request.param].replace("FOLDER", str(tmp_path)))
    return path


def reachable(root: object) -> Iterator[object]:
    """Yield all objects that are reached from one by public names, and by containers."""
    seen: dict[int, object] = {}
    waiting = deque([root])
    while waiting and len(seen) < 20_000:
        one = waiting.popleft()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        elif not isinstance(one, PLAIN):
            yield one
            for name in dir(one):
                if not name.startswith("_"):
                    try:
                        waiting.append(getattr(one, name))
                    except Exception:
                        continue


def told(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


async def test_no_repr_tells_a_secret(path: Path) -> None:
    policy = Policy.load(path)
    limiter = Limiter(policy)
    try:
        limiter_parts = list(reachable(limiter))
        assert any(type(part).__name__ == "CompiledPolicy" for part in limiter_parts)
        assert len(limiter_parts) > 50
        for part in [*reachable(policy), *limiter_parts]:
            for text in (repr(part), str(part), f"{part}"):
                assert not told(text), (type(part), text[:300])
    finally:
        await limiter.aclose_connections()
        limiter.close()


def test_repr_of_a_policy_still_says_what_it_is(path: Path) -> None:
    policy = Policy.load(path)
    assert "keys=1000" in repr(policy.file) or "url=…" in repr(policy.file)


async def test_no_error_and_no_log_tells_a_secret(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ratelimit import RateLimitMiddleware
    from tests.asgi.driver import Client, key, ok

    caplog.set_level(logging.DEBUG)
    middleware = RateLimitMiddleware(ok, path, reload_interval_s=0)
    for account in (TOKEN, f"{TOKEN}-foe", CUSTOMER, CARD):
        await Client(middleware)(headers=key(account))
    path.write_text(path.read_text().replace("5/minute", "6/minute"))
    middleware.limiter.reload()
    path.write_text(path.read_text().replace("[store]", "[stor]"))
    outcome = middleware.limiter.reload()
    await middleware.limiter.aclose_connections()
    middleware.limiter.close()
    assert outcome.error is not None
    assert not told(f"{outcome.error} {outcome.error!r} {caplog.text}")


def test_no_output_tells_a_secret(path: Path) -> None:
    for arguments in (
        ("check", path),
        ("check", "--json", path),
        ("check", "--strict", path),
        ("doctor", path),
        ("doctor", "--json", path),
        ("explain", path, "-r", f"GET / account={CUSTOMER}"),
        ("explain", path, "-r", f"GET / account={CUSTOMER}", "--json"),
        ("explain", path, "-r", "GET /", "--live"),
        ("who", path, CUSTOMER),
        ("act", "exempt", path, CUSTOMER, "--yes"),
        ("act", "undo", path, "1", "--yes"),
        ("top", path),
    ):
        result = run(*arguments)
        assert not told(result.stdout + result.stderr), arguments


@pytest.mark.parametrize(
    "text",
    [
        f'[store]\nurl = "redis://{USER}@{SERVER}"',
        f'[store]\nurl = "rediss://{USER}:{PASSWORD}@{SERVER}/x"',
        f'[store]\nurl = "redis://{USER}:{PASSWORD}@{SERVER}?db=x"',
        f'[store]\nurl = "redis://{USER}:{PASSWORD}@{SERVER}"\npassword = "{PASSWORD}"',
        f'[store]\nurl = "http://{USER}:{PASSWORD}@{SERVER}"',
        f'[store]\nurl = ["{PASSWORD}"]',
        f'[store]\npassword = ["{PASSWORD}"]\nkeys = 1',
        f'[store]\npassword = {{ "x" = "{PASSWORD}" }}',
        f'[store]\npassword = "{PASSWORD}\n',
        f"[store]\npassword = {PASSWORD}",
        f'[hashing]\nkey = "{HEX}0"',
        f'[hashing]\nkey = "hex:{HEX}"',
        f'[hashing]\nkey = ["{HEX}"]',
        f'[allow]\naccount = ["{TOKEN}"]\n[deny]\naccount = ["{TOKEN}"]\n'
        '[identities]\naccount = { from = "header:x" }\n',
        f'[correlation.known]\nexempt = [["{CUSTOMER}", "{CUSTOMER}"]]\ntogether = [["{CUSTOMER}"]]\n',
    ],
)
def test_no_complaint_of_a_policy_tells_a_secret(text: str) -> None:
    try:
        problems = Policy.from_toml(f"version = 1\n{text}\n").warnings
        words = " ".join(map(str, problems))
    except RateLimitError as error:
        words = f"{error} {error!r}"
    assert words
    assert not told(words)


def test_location_tells_neither_user_nor_password() -> None:
    for scheme in ("redis", "rediss", "redis+sentinel", "redis+cluster"):
        rest = "/main" if scheme == "redis+sentinel" else ""
        found = parse_location(f"{scheme}://{USER}:{PASSWORD}@{SERVER}{rest}")
        assert not told(repr(found) + found.url)
        with pytest.raises(LocationError) as caught:
            parse_location(f"{scheme}://{USER}:{PASSWORD}@{SERVER}:x")
        assert not told(f"{caught.value} {caught.value.hint}")
