"""The gateway of the examples before a real small model: what is charged is what the engine counted.

`make gateway` installs the engine, 130 MB of wheels; without it the tests are skipped.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from ratelimit.usage.report import UsageReading, reader_of, reading_of
from tests.servers.serving import serving
from tests.support.engine import ENGINE, FOLDER, engine

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ENGINE.exists(), reason="`make gateway` installs the engine"),
]
MOST = 12
SAY: Any = [{"role": "user", "content": "Tell me of the sea."}]


def produced(address: str) -> int:
    """Return the tokens that the engine has produced, by its own counter."""
    return counted(address)[1]


def counted(address: str) -> tuple[int, int]:
    """Return the tokens that the engine has read and produced, by its own counters."""
    page = httpx.get(f"{address}/metrics", timeout=60).text
    read, cached, made = (
        int(float(found[1])) if (found := re.search(rf"^llamacpp:{name}_total ([\d.e+]+)", page, re.M)) else 0
        for name in ("prompt_tokens", "prompt_tokens_cached", "tokens_predicted")
    )
    return read + cached, made


PROMPTS = [
    f"Tell me of {thing} number {at}." for at in range(16) for thing in ("seas", "a lake", "it", "2+2")
]


def test_many_prompts_are_charged_what_the_engine_counted(tmp_path: Path) -> None:
    """Streamed it is exact. A whole answer says the usage of the first prompt alone.

    Its output is exact where each choice ended by its maximum, and its input an upper bound.
    """
    with engine(tmp_path / "engine.log") as address:
        for streams in (False, True):
            before = counted(address)
            reading, is_output_sure = asked(address, 3, streams)
            read, made = (after - was for after, was in zip(counted(address), before, strict=True))
            charged = reading.usage.fresh_input + reading.usage.cache_read
            if streams:
                assert (reading.certainty, charged, reading.usage.output) == ("exact", read, made)
            else:
                assert made <= reading.usage.output <= made + 3 * len(PROMPTS) // 8
                assert not is_output_sure or reading.usage.output == made
                assert read <= charged <= 3 * read


def asked(address: str, most: int, streams: bool) -> tuple[UsageReading, bool]:
    """Ask for all prompts in one request, and read the answer as the limiter does."""
    body: dict[str, Any] = {"model": "m", "prompt": PROMPTS, "max_tokens": most, "ignore_eos": True}
    if streams:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    answer = httpx.post(f"{address}/v1/completions", json=body, timeout=250)
    reader = reader_of("auto", answer.headers["content-type"].encode())
    assert reader is not None
    reader.expect(1, len(PROMPTS), most, len(answer.request.content))
    reader.feed(answer.content)
    reading = reading_of(reader, is_complete=True)
    return reading, reader.is_output_sure


def test_what_is_charged_is_what_the_engine_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and streamed, by three APIs, with a maximum of the client's own and one that is inserted."""
    policy = tmp_path / "policy.toml"
    text = (FOLDER / "gateway.toml").read_text().replace("60000/minute", "60000/year")
    text = text.replace("most = 8192", f"most = {MOST}")
    prices = "[prices.smollm2]\ninput = 1\noutput = 5\n"
    policy.write_text(f'{text}\n{prices}\n[store]\nmemory = "{tmp_path / "store"}"\n')
    monkeypatch.setenv("GATEWAY_POLICY", str(policy))
    options = ["--app-dir", str(FOLDER)]
    with engine(tmp_path / "engine.log") as address:
        monkeypatch.setenv("UPSTREAM", address)
        with serving("uvicorn", policy, workers=1, app="gateway:app", options=options) as port:
            url = f"http://127.0.0.1:{port}"
            used = answers(url)
            page = httpx.get(f"{url}/v1/usage", headers={"authorization": "Bearer sk-ada"}, timeout=60).json()
        counted = produced(address)
    charged = {each["limit"]: each["used"] for each in page["limits"]}
    assert charged["tokens of a project"] == sum(used) == counted
    assert max(used) == MOST  # the engine heeds what was inserted


def answers(url: str) -> list[int]:
    """Ask in each form; return the tokens that each answer used, as its client was told."""
    used = []
    with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-ada", timeout=120) as client:
        for more in ({}, {"max_tokens": 8000}, {"max_completion_tokens": 5}):
            whole = client.chat.completions.create(model="smollm2", messages=SAY, **more)  # type: ignore[call-overload]
            used.append(whole.usage.completion_tokens)
        stream = client.chat.completions.create(model="smollm2", messages=SAY, stream=True)
        used.append([chunk.usage.completion_tokens for chunk in stream if chunk.usage][-1])
        response = client.responses.create(model="smollm2", input="Tell me of the sea.")
        assert response.usage is not None
        used.append(response.usage.output_tokens)
    with (
        anthropic.Anthropic(base_url=url, api_key="sk-ada", timeout=120) as other,
        other.messages.stream(model="smollm2", max_tokens=9000, messages=SAY) as events,
    ):
        used.append(events.get_final_message().usage.output_tokens)
    return used
