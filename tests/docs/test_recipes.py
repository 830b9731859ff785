"""Recipes: each runs as it stands, and limits what its page says."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from ratelimit import Limiter
from ratelimit.policy import Policy

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text("utf-8")
RECIPES = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def cooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what runs a recipe and gives the names it defines."""

    def cook(recipe: str) -> dict[str, Any]:
        (policy,) = re.findall(r"```toml\n(.*?)```", RECIPES[recipe], re.DOTALL)
        (code,) = re.findall(r"```python\n(.*?)```", RECIPES[recipe], re.DOTALL)
        (tmp_path / "policy.toml").write_text(policy, "utf-8")
        monkeypatch.chdir(tmp_path)
        names: dict[str, Any] = {}
        exec(code, names)
        return names

    return cook


def client(app: Any, address: str = "203.0.113.9") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://api")


@pytest.mark.parametrize("recipe", RECIPES)
def test_policy_of_a_recipe_is_without_a_complaint(recipe: str) -> None:
    (policy,) = re.findall(r"```toml\n(.*?)```", RECIPES[recipe], re.DOTALL)
    assert Policy.from_toml(policy).warnings == ()


async def test_llm_api_charges_what_was_said(cooked: Any) -> None:
    async with client(cooked("LLM API")["app"]) as http:
        answers = [
            await http.post("/v1/chat", content="a b c", headers={"x-api-key": "me"}) for _ in range(21)
        ]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    assert answers[0].text == "a b c "
    # Three tokens an answer stay charged; of each estimate of 2,000 the rest came back.
    remaining = re.search(r'"output tokens";r=(\d+)', answers[19].headers["ratelimit"])
    assert remaining
    assert 8000 - 2000 - 19 * 3 <= int(remaining[1]) < 8000 - 2000


async def test_llm_api_for_openai_s_clients_reads_usage_and_refuses_in_their_form(cooked: Any) -> None:
    key = {"authorization": "Bearer sk-ada"}

    def asking(words: int, most: int) -> dict[str, Any]:
        return {"model": "m", "max_tokens": most, "messages": [{"role": "user", "content": "a " * words}]}

    async with client(cooked("LLM API for OpenAI's clients")["app"]) as http:
        for left in (20_000, 19_997):
            answer = await http.post("/v1/chat/completions", json=asking(3, 500), headers=key)
            assert answer.text.count('"content": "a "') == 3
            remaining = re.search(r'"output tokens";r=(\d+)', answer.headers["ratelimit"])
            assert remaining
            assert left - 500 <= int(remaining[1]) <= left - 500 + 50
        long = await http.post("/v1/chat/completions", json=asking(20_900, 20_900), headers=key)
        assert json.loads(long.text.rpartition("data: ")[2])["error"]["code"] == "rate_limit_exceeded"
        refused = await http.post("/v1/chat/completions", json=asking(3, 500), headers=key)
    assert refused.status_code == 429
    assert 10 < int(refused.headers["retry-after"]) < 60
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")


async def test_login_closes_a_name_after_five_wrong_passwords(cooked: Any) -> None:
    app = cooked("Login")["app"]
    async with client(app) as http:
        wrong = [
            (await http.post("/login", json={"name": "Ada", "password": "x"})).status_code for _ in range(6)
        ]
    async with client(app, "203.0.113.10") as http:
        right = await http.post("/login", json={"name": "ada", "password": "correct"})
        other = await http.post("/login", json={"name": "bob", "password": "x"})
        many = [
            (await http.post("/login", json={"name": f"n{i}", "password": "x"})).status_code
            for i in range(19)
        ]
    assert wrong == [401] * 5 + [429]
    assert (right.status_code, other.status_code) == (429, 401)
    assert many == [401] * 18 + [429]


async def test_of_200_guesses_at_once_no_more_are_tried_than_the_recipe_says(cooked: Any) -> None:
    """Hazard: what is looked at first and charged afterwards is looked at by all of them (fault 72)."""
    names = cooked("Login")
    tried: list[str] = []

    class Passwords(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            tried.append(name)
            time.sleep(0)  # a hash takes its time: others go on meanwhile
            return super().get(name, default)

    names["PASSWORDS"] = Passwords(ada="correct")
    guesses = []
    for number in range(200):
        # Each from an address of its own, and in another spelling.
        http = client(names["app"], f"198.51.{number // 100}.{number % 100 + 1}")
        guesses.append(http.post("/login", json={"name": ("ada", "ADA")[number % 2], "password": "x"}))
    statuses = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert len(tried) == 5
    assert (statuses.count(401), statuses.count(429)) == (5, 195)


async def test_right_passwords_are_never_refused_however_often(cooked: Any) -> None:
    names = cooked("Login")
    for number in range(60):
        async with client(names["app"], f"198.51.100.{number + 1}") as http:
            answer = await http.post("/login", json={"name": "ada", "password": "correct"})
        assert answer.status_code == 200
    # What was given back is there for guesses, but for one at most, and no more of them.
    async with client(names["app"]) as http:
        wrong = [
            (await http.post("/login", json={"name": "ada", "password": "x"})).status_code for _ in range(7)
        ]
    assert wrong[:4] == [401] * 4
    assert wrong[5:] == [429] * 2


async def test_public_search_counts_addresses_behind_the_proxy(cooked: Any) -> None:
    async with client(cooked("Public search")["app"], "10.0.0.1") as http:
        for address, wanted in (
            ("203.0.113.1", [200, 200, 429]),
            ("203.0.113.2", [200, 200, 429]),
            ("192.0.2.10", [200] * 3),
        ):
            answers = [await http.get("/search", headers={"x-forwarded-for": address}) for _ in range(3)]
            assert [answer.status_code for answer in answers] == wanted, address


async def test_webhooks_are_spread(cooked: Any) -> None:
    names = cooked("Webhooks")
    async with client(names["app"]) as http:
        assert (await http.post("/hooks/shop")).json() == {"taken": "shop"}
    waits = [names["wait_before_sending"]("https://a.example") for _ in range(6)]
    assert waits[:5] == [0] * 5
    assert 0 < waits[5] <= 0.1
    assert names["wait_before_sending"]("https://b.example") == 0
    assert isinstance(names["limiter"], Limiter)


async def test_tenants_have_the_numbers_of_their_plan(cooked: Any) -> None:
    async with client(cooked("Tenants and plans")["app"]) as http:
        statuses = {
            key: [
                (await http.get("/api/items", headers={"x-api-key": key})).status_code for _ in range(count)
            ]
            for key, count in (("k1", 11), ("k2", 4), ("unknown", 1))
        }
    assert statuses == {"k1": [200] * 10 + [429], "k2": [200] * 3 + [429], "unknown": [403]}
