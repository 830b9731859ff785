"""State that is absent: said where limits count by it, and no word of what is only evidence."""

from __future__ import annotations

from pathlib import Path

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.events import NullObserver
from tests.asgi.driver import Client, ok

POLICY = """\
version = 1
events = []
[identities]
account = { from = "header:x-api-key" }
payment = { from = "state:payment", missing = "skip" }
sponsor = { from = "state:sponsor", missing = "skip" }
[[limit]]
name = "requests"
per = "account"
rate = "900/minute"
[[limit]]
name = "card"
per = "payment"
rate = "900/minute"
[correlation]
principal = "account"
payment = "payment"
extra = ["sponsor"]
[store]
keys = 1000
"""


class Noting(NullObserver):
    def __init__(self) -> None:
        self.said: list[str] = []

    def diagnosed(self, code: str, message: str) -> None:
        self.said.append(f"{code} {message.split('`')[1]}")


async def test_evidence_that_most_requests_lack_is_no_mistake(tmp_path: Path) -> None:
    """Hazard: the shipped policy warns in each night of a sponsor that nobody has."""
    (tmp_path / "policy.toml").write_text(POLICY)
    noting = Noting()
    limiter = Limiter(tmp_path / "policy.toml", observer=noting)
    client = Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0))
    for number in range(90):
        answer = await client("GET", "/", [(b"x-api-key", f"account {number}".encode())])
        assert answer.status == 200
    assert [each for each in noting.said if each.startswith("state-absent")] == ["state-absent state:payment"]
    limiter.close()
