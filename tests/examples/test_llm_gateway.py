"""The gateway of the examples before a provider, both under uvicorn, as the official clients find it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
import yaml

from ratelimit.telemetry.names import METRICS
from tests.servers.serving import serving
from tests.support.stopwatch import Stopwatch

FOLDER = Path(__file__).absolute().parents[2] / "examples" / "llm-api"
APP_DIR = ["--app-dir", str(FOLDER)]
KEYS = {
    "sk-ada": {"key": "ada", "project": "search", "team": "research"},
    "sk-bea": {"key": "bea", "project": "search", "team": "research"},
    "sk-bot": {"key": "bot", "project": "support", "team": "product"},
    "sk-poor": {"key": "poor", "project": "poor", "team": "poor"},
    "sk-odd": {"key": "odd", "project": "odd", "team": "odd"},
    "sk-long": {"key": "long", "project": "long", "team": "long"},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a gateway before a provider, which is the folder's own mock without limits."""
    folder = tmp_path_factory.mktemp("gateway")
    text = (FOLDER / "gateway.toml").read_text()
    (folder / "provider").mkdir()
    (folder / "provider" / "policy.toml").write_text((FOLDER / "app-policy.toml").read_text())
    policy = folder / "policy.toml"
    # A key's day ends within a year alone, so that midnight does not come in between.
    policy.write_text(
        text.replace('rate = "5/day"', 'rate = "1/year"').replace(
            'rate = "60000/minute"', 'rate = "1/hour"\nburst = 20000'
        )
        + f'\n[store]\nmemory = "{folder / "store"}"\n'
    )
    (folder / "keys.json").write_text(json.dumps(KEYS))
    patch = pytest.MonkeyPatch()
    patch.setenv("MOCK_TOKENS_PER_S", "1000000")
    patch.setenv("LLM_API_POLICY", str(folder / "provider" / "policy.toml"))
    patch.setenv("RATELIMIT_ENABLED", "0")
    with serving(
        "uvicorn", folder / "provider" / "policy.toml", workers=1, app="app:app", options=APP_DIR
    ) as provider:
        patch.delenv("RATELIMIT_ENABLED")
        patch.setenv("GATEWAY_POLICY", str(policy))
        patch.setenv("GATEWAY_KEYS", str(folder / "keys.json"))
        patch.setenv("UPSTREAM", f"http://127.0.0.1:{provider}")
        patch.setenv("UPSTREAM_KEY", "sk-dot")
        with serving("uvicorn", policy, workers=1, app="gateway:app", options=APP_DIR) as port:
            yield f"http://127.0.0.1:{port}"
    patch.undo()
    assert "Traceback" not in (folder / "uvicorn.log").read_text()


def gpt(url: str, name: str, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=f"sk-{name}", **more)


def claude(url: str, name: str, **more: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=f"sk-{name}", **more)


def say(words: int) -> Any:
    return [{"role": "user", "content": f"say {words} words"}]


def usage(url: str, name: str) -> dict[str, float]:
    """Return what is used of each limit, as a key's usage page says."""
    found = httpx.get(f"{url}/v1/usage", headers={"authorization": f"Bearer sk-{name}"}, timeout=60)
    return {each["limit"]: each["used"] for each in found.json()["limits"]}


def test_every_form_is_passed_on_and_charged_to_key_project_and_team(gateway: str) -> None:
    """Whole and streamed, by both clients; a stream tells its usage whether or not its client asks for it."""
    before = usage(gateway, "bot")
    with gpt(gateway, "ada") as client:
        whole = client.chat.completions.create(model="mock-small", max_tokens=100, messages=say(20))
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 20
        stream = client.chat.completions.create(
            model="mock-small", max_tokens=100, messages=say(30), stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert len(text.split()) == 30
        response = client.responses.create(model="mock-small", max_output_tokens=100, input="say 40 words")
        assert len(response.output_text.split()) == 40
        assert "mock-large" in [model.id for model in client.models.list()]
    with (
        claude(gateway, "bea") as other,
        other.messages.stream(model="mock-small", max_tokens=100, messages=say(10)) as events,
    ):
        assert len(events.get_final_text().split()) == 10
    ada, bea, bot = (usage(gateway, name) for name in ("ada", "bea", "bot"))
    of_ada, of_bea = 3 * 3 * 1 + 90 * 5, 3 * 1 + 10 * 5  # three prompt words each, in millionths
    assert ada["dollars of a key"] == pytest.approx(of_ada / 1e6)
    assert bea["dollars of a key"] == pytest.approx(of_bea / 1e6)
    assert ada["dollars of a project"] == bea["dollars of a team"] == pytest.approx((of_ada + of_bea) / 1e6)
    assert ada["tokens of a project"] == 100
    # A bucket may have got something back meanwhile.
    assert all(bot[name] <= before[name] for name in ada if not name.startswith("looks"))


def test_maximum_is_lowered_to_what_the_project_has_left(gateway: str) -> None:
    """20,000 tokens: half, half of the rest, and so on, until an answer would be too short."""
    with gpt(gateway, "long", max_retries=0) as client:
        grants = []
        for _ in range(4):
            found = client.chat.completions.create(model="mock-small", messages=say(4096), max_tokens=8192)
            assert found.usage is not None
            grants.append(found.usage.completion_tokens)
    assert grants == [4096, 4096, 4096, 3856]


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_client_is_told_at_once_that_its_dollars_are_used_up(gateway: str, kind: str) -> None:
    """With the clients' own retries: they raise, and do not sleep until next year."""
    name = "bot" if kind == "openai" else "poor"
    for _ in range(20):
        body = {"model": "mock-large", "max_tokens": 4000, "messages": say(4000)}  # a dollar
        headers = {"authorization": f"Bearer sk-{name}"}
        got = httpx.post(f"{gateway}/v1/chat/completions", json=body, headers=headers, timeout=60)
        if got.status_code == 429:
            break
    with Stopwatch() as watch:
        if kind == "openai":
            with gpt(gateway, name) as client, pytest.raises(openai.RateLimitError) as raised:
                client.chat.completions.create(model="mock-large", max_tokens=4000, messages=say(4000))
            assert raised.value.code == "insufficient_quota"
        else:
            with claude(gateway, name) as other, pytest.raises(anthropic.RateLimitError) as raised:  # type: ignore[assignment]
                other.messages.create(model="mock-large", max_tokens=4000, messages=say(4000))
    assert watch.s < 10  # not the days that are left
    assert re.search(r'The limit ".* of a .*" is used up; try again in \d+ (d|h)', str(raised.value))


def test_errors_have_the_form_of_their_client(gateway: str) -> None:
    with gpt(gateway, "odd") as client, pytest.raises(openai.NotFoundError) as told:
        client.chat.completions.create(model="gpt-9", max_tokens=5, messages=say(5))
    assert told.value.code == "model_not_found"
    with claude(gateway, "nobody") as other, pytest.raises(anthropic.AuthenticationError, match="API key"):
        other.messages.create(model="mock-small", max_tokens=5, messages=say(5))
    with gpt(gateway, "odd") as client, pytest.raises(openai.NotFoundError, match="no such path"):
        client.images.generate(prompt="a dog", model="mock-small")
    # The provider's own complaint comes through.
    with gpt(gateway, "odd") as client, pytest.raises(openai.BadRequestError, match="messages"):
        client.chat.completions.create(model="mock-small", max_tokens=5, messages=[])
    found = usage(gateway, "odd")
    assert {found[name] for name in found if name.startswith(("dollars", "tokens"))} == {0}


def test_outage_of_the_provider_is_told_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text((FOLDER / "gateway.toml").read_text() + f'\n[store]\nmemory = "{tmp_path / "store"}"\n')
    monkeypatch.setenv("GATEWAY_POLICY", str(policy))
    monkeypatch.setenv("UPSTREAM", "http://127.0.0.1:9")  # discard: nothing listens
    with serving("uvicorn", policy, workers=1, app="gateway:app", options=APP_DIR) as port:
        url = f"http://127.0.0.1:{port}"
        for _ in range(5):
            with (
                gpt(url, "ada", max_retries=0) as client,
                pytest.raises(openai.InternalServerError) as raised,
            ):
                client.chat.completions.create(model="mock-small", max_tokens=5000, messages=say(5))
            assert "The provider does not answer" in str(raised.value)
        found = usage(url, "ada")
    assert {found[name] for name in found if name.startswith(("dollars", "tokens"))} == {0}


def test_alerts_name_metrics_that_there_are() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    known = {name for metric in METRICS for name in (metric.exported, *metric.series)}
    for rule in rules:
        names = set(re.findall(r"ratelimit_\w+", rule["expr"]))
        assert names
        assert names <= known
        assert rule["annotations"]["summary"]
