"""`/json` and `/healthcheck`, as clients of the reference service call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from ratelimit.serving.domains.settings import Settings
from ratelimit.serving.domains.web import pages_of
from tests.serving.domains.calling import Service, serving
from tests.serving.domains.test_examples import node

TREE = {"domain": "d", "descriptors": [node("a", limit="1/minute", name="one"), node("b", limit="2/hour")]}


def client_of(service: Service, *, is_healthy: bool = True) -> httpx.AsyncClient:
    pages = pages_of(service.domains.adecide, lambda: is_healthy)
    return httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://x")


def call(*entries: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"domain": "d", "descriptors": [{"entries": [each]} for each in entries], **more}


async def test_call_in_json_is_answered_in_json(tmp_path: Path) -> None:
    with serving(tmp_path, TREE, settings=Settings(has_headers=True)) as service:
        async with client_of(service) as client:
            asked = call({"key": "a", "value": "1"}, {"key": "b"}, {"key": "none", "value": ""})
            first, second = [await client.post("/json", json=asked) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    assert first.headers["content-type"] == "application/json"
    assert first.json()["overallCode"] == "OK"
    assert second.json() == {
        "overallCode": "OVER_LIMIT",
        "statuses": [
            {
                "code": "OVER_LIMIT",
                "currentLimit": {"name": "one", "requestsPerUnit": 1, "unit": "MINUTE"},
                "durationUntilReset": "60s",
            },
            {
                "code": "OK",
                "currentLimit": {"requestsPerUnit": 2, "unit": "HOUR"},
                "durationUntilReset": second.json()["statuses"][1]["durationUntilReset"],
            },
            {"code": "OK"},
        ],
        "responseHeadersToAdd": [
            {"key": "RateLimit-Limit", "value": "1"},
            {"key": "RateLimit-Remaining", "value": "0"},
            {"key": "RateLimit-Reset", "value": "60"},
        ],
    }


async def test_names_are_read_in_both_spellings_and_numbers_as_texts(tmp_path: Path) -> None:
    with serving(tmp_path, TREE) as service:
        async with client_of(service) as client:

            async def left(descriptor: dict[str, Any], **more: Any) -> int | None:
                entries = [{"key": "b", "value": "1"}]
                body = {"domain": "d", "descriptors": [{"entries": entries, **descriptor}], **more}
                told = (await client.post("/json", json=body)).json()
                remaining: int | None = told["statuses"][0].get("limitRemaining")
                return remaining

            assert await left({"limit": {"requestsPerUnit": 100, "unit": "HOUR"}}) == 99
            assert await left({"limit": {"requests_per_unit": "100", "unit": 3}}, hitsAddend=9) == 90
            assert await left({"limit": {"requests_per_unit": 100, "unit": 3}}, hits_addend="10") == 80
            assert await left({"limit": {"requests_per_unit": 100, "unit": 3}, "hitsAddend": "0"}) == 80
            assert await left({"limit": {"requests_per_unit": 100, "unit": 3}, "hits_addend": 5.0}) == 75


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"domain": "d"}',
        b'{"domain": "", "descriptors": [{}]}',
        b'{"domain": "d", "descriptors": [{}], "more": 1}',
        b'{"domain": "d", "descriptors": [{}], "hitsAddend": -1}',
        b'{"domain": "d", "descriptors": [{}], "hitsAddend": 4294967296}',
        b'{"domain": "d", "descriptors": [{}], "hitsAddend": true}',
        b'{"domain": "d", "descriptors": [{"entries": [{"key": 1}]}]}',
        b'{"domain": "d", "descriptors": [{"entries": {}}]}',
        b'{"domain": "d", "descriptors": [{"limit": {"unit": "FORTNIGHT"}}]}',
        b'{"domain": "d", "descriptors": [{"hitsAddend": 1, "hits_addend": 1}]}',
        b'{"domain": "\xff"}',
        b"[" * 10_000,
    ],
)
async def test_other_bodies_are_answered_400(tmp_path: Path, body: bytes) -> None:
    with serving(tmp_path, TREE) as service:
        async with client_of(service) as client:
            assert (await client.post("/json", content=body)).status_code == 400


async def test_health_and_other_pages(tmp_path: Path) -> None:
    with serving(tmp_path, TREE) as service:
        async with client_of(service) as client:
            well = await client.get("/healthcheck")
            assert (well.status_code, well.text) == (200, "OK")
            assert (await client.get("/")).status_code == 404
            large = await client.post("/json", content=json.dumps("x" * (2 << 20)))
            assert large.status_code == 413
        async with client_of(service, is_healthy=False) as client:
            assert (await client.get("/healthcheck")).status_code == 500
