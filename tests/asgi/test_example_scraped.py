"""The example for several hosts, asked for its metrics as Prometheus asks: without a key."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.asgi.metrics import metrics_app
from ratelimit.policy import Policy

EXAMPLE = Path(__file__).absolute().parents[2] / "examples" / "redis" / "policy.toml"


async def test_scraped_without_a_key_and_nothing_else_is(tmp_path: Path) -> None:
    text = re.sub(r"\[(hashing|store)\]\n(?:[^\[\n]*\n)*", "", EXAMPLE.read_text("utf-8"))
    (tmp_path / "policy.toml").write_text(f'{text}\n[store]\nmemory = "private"\n', "utf-8")
    limiter = Limiter(tmp_path / "policy.toml")
    routes = [
        Route("/metrics", metrics_app(limiter)),
        Route("/v1/models", lambda request: PlainTextResponse("small")),
    ]
    app = RateLimitMiddleware(Starlette(routes=routes), limiter=limiter)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        scraped = await http.get("/metrics")
        assert (await http.get("/v1/models")).status_code == 403
    assert scraped.status_code == 200
    assert "ratelimit_workers" in scraped.text
    limiter.close()


def test_no_example_refuses_a_scrape() -> None:
    for path in sorted(EXAMPLE.parents[1].rglob("*.toml")):
        codes = [problem.code for problem in Policy.load(path).warnings]
        assert "metrics-refused" not in codes, path
