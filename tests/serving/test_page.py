"""docs/serve.md: Envoy's messages know its YAML, and what comes of it is charged as the page says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from envoy.config.route.v3 import route_components_pb2
from envoy.service.ratelimit.v3 import rls_pb2
from google.protobuf.json_format import ParseDict

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.serving.deciding import CallDecider
from ratelimit.serving.descriptors import facts_of
from ratelimit.serving.wire import read_call
from tests.asgi.driver import limit, rules

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text("utf-8")
WRITTEN = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
POLICY = rules(
    limit("writes", match="POST /v1/*", rate="2/minute"),
    limit("one address", per="ip", match=["POST /v1/*"], rate="9/minute"),
    limit("tokens", unit="output_tokens", rate="1000/hour"),
)


def made(configured: object) -> route_components_pb2.RateLimit:
    """Return a part of a route's configuration; a field that Envoy does not know is an error."""
    found: route_components_pb2.RateLimit = ParseDict(configured, route_components_pb2.RateLimit())
    return found


def descriptor(
    configured: route_components_pb2.RateLimit, said: Mapping[str, str]
) -> rls_pb2.RateLimitRequest:
    """Return what Envoy asks of a request, by the meaning that its documentation gives to actions."""
    request = rls_pb2.RateLimitRequest(domain="edge")
    entries = request.descriptors.add().entries
    for action in configured.actions:
        kind = action.WhichOneof("action_specifier")
        if kind == "remote_address":
            entries.add(key="remote_address", value="192.0.2.1")
        elif kind == "generic_key":
            entries.add(key=action.generic_key.descriptor_key, value=action.generic_key.descriptor_value)
        elif kind == "request_headers":
            header = action.request_headers
            if header.skip_if_absent and header.header_name not in said:
                continue
            entries.add(key=header.descriptor_key, value=said[header.header_name])
        else:
            raise AssertionError(f"{kind} is not looked at here")
    return request


def asked(limiter: Limiter, request: rls_pb2.RateLimitRequest) -> bool:
    current = limiter.current
    _, hits, descriptors = read_call(request.SerializeToString())
    facts = facts_of(descriptors, hits, current.names, current.compiled.units)
    return CallDecider(limiter).decide_now(facts).allowed


def test_configuration_is_one_that_envoy_knows() -> None:
    route, end = made(WRITTEN[0]["rate_limits"][0]), made(WRITTEN[1][0])
    assert len(route.actions) == 6
    assert end.apply_on_stream_done
    assert end.hits_addend.format == "%RESP(x-output-tokens)%"
    with pytest.raises(Exception, match="no field named"):
        made({"actions": [{"remote_adress": {}}]})


def test_what_envoy_makes_of_it_is_charged_as_the_page_says() -> None:
    route, end = made(WRITTEN[0]["rate_limits"][0]), made(WRITTEN[1][0])
    limiter = Limiter(Policy.from_toml(POLICY), clock=ManualClock())
    write = {":path": "/v1/chat", ":method": "POST", "x-api-key": "a", "x-request-id": "1"}
    assert [asked(limiter, descriptor(route, write)) for _ in range(3)] == [True, True, False]
    assert asked(limiter, descriptor(route, {**write, "x-api-key": "b"}))
    # The end of a stream is never refused, and the next request finds what it took.
    done = descriptor(end, {**write, "x-api-key": "b"})
    done.hits_addend = 1_001
    assert asked(limiter, done)
    assert not asked(limiter, descriptor(route, {**write, "x-api-key": "b"}))
    limiter.close()
