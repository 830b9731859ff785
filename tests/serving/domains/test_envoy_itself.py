"""A real Envoy asks `ratelimit serve --descriptors` what the reference service's integration scripts ask."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

from tests.cli.running import run
from tests.serving.domains.test_examples import node
from tests.support.debian import program
from tests.support.redis.patience import until
from tests.support.redis.port import free_port

TYPES = "type.googleapis.com/envoy.extensions"
HTTP = f"{TYPES}.filters.http"
SERVICES = ("m1", "m2")


def of(name: str, value: str, limit: str, **more: Any) -> dict[str, Any]:
    """Return a quota that tells Envoy which service has room."""
    return node(name, value, limit, quota_mode=True, metadata={"with_room": {"name": value}}, **more)


DESCRIPTORS = [
    node("category", "account", "4/year", replaces=[{"name": "one"}, {"name": "two"}]),
    node(
        "from",
        "proxy",
        descriptors=[
            node("to", "one", "2/year", replaces=[{"name": "one"}]),
            node("to", "mock", "1/year"),
            node("to", "over", "2/year", replaces=[{"name": "banned"}]),
            node("to", "two", "2/year", name="two"),
        ],
    ),
    node(
        "foo",
        limit="2/year",
        descriptors=[
            node("bar", limit="3/year"),
            node("bar", "one", "1/year", name="one"),
            node("bar", "banned", "0/year", name="banned"),
            node("baz", "shown", "3/year"),
            node("baz", "shady", "3/year", shadow_mode=True),
            {"key": "bay", "rate_limit": {"unlimited": True}},
        ],
    ),
    node("unspec", limit="2/year", detailed_metric=True),
    of("quota", "q1", "1/year"),
    of("quota", "q2", "2/year"),
    of("tokens", "t", "2/year"),
    *(of("served", name, f"{number}/year") for number, name in enumerate(SERVICES, 1)),
]


def fields(*names: str) -> dict[str, Any]:
    """Return the actions that make a descriptor of header fields."""
    return {"actions": [{"request_headers": {"header_name": name, "descriptor_key": name}} for name in names]}


def constant(key: str, value: str, **more: Any) -> dict[str, Any]:
    return {"actions": [{"generic_key": {"descriptor_key": key, "descriptor_value": value}}], **more}


LOOK, LATER = {"hits_addend": {"number": 0}}, {"hits_addend": {"number": 1}, "apply_on_stream_done": True}
SERVED = {
    "metadata": {
        "descriptor_key": "served",
        "source": "CLUSTER_LOCALITY_ENTRY",
        "metadata_key": {"key": "envoy.cluster.locality", "path": [{"key": "name"}]},
    }
}
ROUTES: dict[str, list[dict[str, Any]]] = {
    "/two": [fields("foo", "bar"), fields("foo", "baz"), fields("foo", "bay")],
    "/four": [fields("foo", "bar"), fields("from", "to")],
    "/five": [fields("foo", "bar"), fields("from", "to"), fields("category")],
    "/unspec": [fields("unspec")],
    "/quota": [constant("quota", "q1"), constant("quota", "q2")],
    "/tokens": [constant("tokens", "t", **LOOK), constant("tokens", "t", **LATER)],
    "/served": [*(constant("served", name, **LOOK) for name in SERVICES), {"actions": [SERVED], **LATER}],
}


def at(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(port: int, filters: list[dict[str, Any]], routes: list[dict[str, Any]]) -> dict[str, Any]:
    router = {"name": "router", "typed_config": {"@type": f"{HTTP}.router.v3.Router"}}
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"at{port}",
        "http_filters": [*filters, router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    return {
        "address": at(port),
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }


def endpoint(name: str, port: int) -> dict[str, Any]:
    """Return an endpoint that is a service of this name, in a region of its own."""
    lb = {"endpoint": {"address": at(port)}, "metadata": {"filter_metadata": {"envoy.lb": {"service": name}}}}
    locality = {"filter_metadata": {"envoy.cluster.locality": {"name": name}}}
    return {"locality": {"region": name}, "metadata": locality, "lb_endpoints": [lb]}


def configuration(edge: int, grpc_port: int, services: dict[str, int]) -> dict[str, Any]:
    """Return Envoy's configuration: it asks about each request, and sends it to a service that has room."""
    limit = {
        "@type": f"{HTTP}.ratelimit.v3.RateLimit",
        "domain": "rl",
        "timeout": "30s",
        "failure_mode_deny": True,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "rate_limit_service": {
            "grpc_service": {"envoy_grpc": {"cluster_name": "ratelimit"}},
            "transport_api_version": "V3",
        },
    }
    room = "%DYNAMIC_METADATA(envoy.filters.http.ratelimit:metadata:with_room:name)%"
    said = {"header": {"key": "x-room", "value": room}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    saying = {
        "@type": f"{HTTP}.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": [{"append": said}]},
    }
    chosen = {"metadata_namespace": "envoy.lb", "key": "service", "type": "STRING"}
    choosing = {
        "@type": f"{HTTP}.header_to_metadata.v3.Config",
        "request_rules": [{"header": "x-room", "on_header_present": chosen}],
    }
    filters = [
        {"name": name, "typed_config": each}
        for name, each in (
            ("envoy.filters.http.ratelimit", limit),
            ("envoy.filters.http.header_mutation", saying),
            ("envoy.filters.http.header_to_metadata", choosing),
        )
    ]
    routes = [
        {
            "match": {"path": path},
            "route": {"cluster": "services"},
            "typed_per_filter_config": {
                "envoy.filters.http.ratelimit": {
                    "@type": f"{HTTP}.ratelimit.v3.RateLimitPerRoute",
                    "rate_limits": limits,
                }
            },
        }
        for path, limits in ROUTES.items()
    ]
    subsets = {"fallback_policy": "ANY_ENDPOINT", "subset_selectors": [{"keys": ["service"]}]}
    http2 = {
        "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    check = {"lb_endpoints": [{"endpoint": {"address": at(grpc_port)}}]}
    clusters = [
        {
            "name": "services",
            "type": "STATIC",
            "lb_subset_config": subsets,
            "load_assignment": {
                "cluster_name": "services",
                "endpoints": [endpoint(name, port) for name, port in services.items()],
            },
        },
        {
            "name": "ratelimit",
            "type": "STATIC",
            "typed_extension_protocol_options": {
                f"{TYPES[20:]}.upstreams.http.v3.HttpProtocolOptions": http2
            },
            "load_assignment": {"cluster_name": "ratelimit", "endpoints": [check]},
        },
    ]
    answering = [
        listener(
            port,
            [],
            [
                {
                    "match": {"prefix": "/"},
                    "direct_response": {"status": 200, "body": {"inline_string": name}},
                }
            ],
        )
        for name, port in services.items()
    ]
    return {
        "static_resources": {"listeners": [listener(edge, filters, routes), *answering], "clusters": clusters}
    }


@dataclass(frozen=True)
class Edge:
    """Envoy, and the service that it asks."""

    url: str
    grpc: str
    json: str
    metrics: str
    folder: Path

    def ask(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers=headers, timeout=60)

    def codes(self, times: int, path: str, **headers: str) -> str:
        """Return a dot for each request that passed, x for one that was refused, ? for another answer."""
        statuses = [self.ask(path, **headers).status_code for _ in range(times)]
        return "".join({200: ".", 429: "x"}.get(status, "?") for status in statuses)

    def stat(self, name: str, labels: str) -> int:
        """Return a number of the metrics page."""
        line = f'ratelimit_service_rate_limit_{name}{{domain="rl",{labels}}} '
        lines = httpx.get(self.metrics, timeout=60).text.splitlines()
        return sum(int(each.removeprefix(line)) for each in lines if each.startswith(line))


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    try:
        yield started
    finally:
        if started.poll() is None:
            started.terminate()
            started.wait(60)
        assert started.stderr is not None
        started.stderr.close()


def is_served(port: int) -> bool:
    """Return whether something takes connections."""
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serve(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str, str, str]]:
    """Run the service; yield it with its three places."""
    (folder / "rl.yaml").write_text(json.dumps({"domain": "rl", "descriptors": DESCRIPTORS}))
    ports = [free_port() for _ in range(3)]
    places = [f"127.0.0.1:{port}" for port in ports]
    command = [sys.executable, "-m", "ratelimit.cli.main", "serve", "--descriptors", str(folder)]
    more = ["--envoy", places[0], "--json", places[1], "--metrics-port", str(ports[2]), *options]
    with process(*command, *more, RESPONSE_DYNAMIC_METADATA="true") as started:
        for port in ports:
            until(partial(is_served, port), f"{port} was to be served")
        yield started, places[0], f"http://{places[1]}", f"http://{places[2]}/metrics"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    envoy, folder = program("envoy"), tmp_path_factory.mktemp("descriptors")
    with serve(folder) as (_, grpc_at, json_at, metrics_at):
        port, services = free_port(), {name: free_port() for name in SERVICES}
        made = configuration(port, int(grpc_at.rpartition(":")[2]), services)
        text = json.dumps(made)
        more = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        with process(envoy, "--config-yaml", text, *more):
            until(partial(is_served, port), "Envoy was to serve")
            yield Edge(f"http://127.0.0.1:{port}", grpc_at, json_at, metrics_at, folder)


def test_request_without_a_limit_passes(edge: Edge) -> None:
    assert edge.codes(9, "/two", foo="free", bay="any") == "........."


def test_limit_refuses_and_says_what_remains(edge: Edge) -> None:
    answers = [edge.ask("/two", foo="pelle", baz="shown") for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert [each.headers["x-ratelimit-remaining"] for each in answers] == ["2", "1", "0", "0"]
    assert answers[0].headers["x-ratelimit-limit"] == f"3, 3;w={365 * 86_400}"


def test_value_in_shadow_mode_is_never_refused(edge: Edge) -> None:
    assert edge.codes(5, "/two", foo="pelle", baz="shady") == "....."
    assert edge.ask("/two", foo="pelle", baz="shady").headers["x-ratelimit-remaining"] == "0"
    assert edge.stat("shadow_mode", 'key1="foo",key2="baz_shady"') == 3


def test_limit_that_replaces_another_leaves_its_counter_alone(edge: Edge) -> None:
    by = {"foo": "b", "bar": "banned", "from": "proxy"}
    assert edge.codes(1, "/two", foo="b", bar="banned") == "x"
    assert edge.codes(1, "/four", **by, to="mock") == "x"
    assert edge.codes(3, "/four", **by, to="over") == "..x"
    mine = {"foo": "mine", "bar": "one", "from": "proxy"}
    assert edge.codes(3, "/four", **mine, to="one") == "..x"
    assert edge.codes(2, "/four", **mine, to="other") == ".x"
    assert edge.codes(1, "/four", **mine, to="one") == "x"
    # One limit may replace several.
    assert edge.codes(5, "/five", **mine, to="two", category="account") == "....x"
    assert edge.codes(2, "/two", foo="second", bar="one") == ".x"
    assert edge.codes(3, "/four", **{**by, "bar": "third"}, to="two") == "..x"
    assert edge.codes(1, "/five", **mine, to="two", category="account") == "x"


def test_value_that_the_file_does_not_have_is_in_the_name_of_a_detailed_metric(edge: Edge) -> None:
    assert edge.codes(3, "/unspec", unspec="unspecified_value") == "..x"
    assert edge.stat("over_limit", 'key1="unspec_unspecified_value"') == 1
    assert edge.stat("within_limit", 'key1="unspec_unspecified_value"') == 2


def test_quotas_refuse_when_all_are_used_up(edge: Edge) -> None:
    assert edge.codes(3, "/quota") == "..x"


def charged(edge: Edge, key: str, units: int) -> bool:
    return edge.stat("total_hits", f'key1="{key}"') == units


def test_quota_is_charged_when_the_answer_is_through(edge: Edge) -> None:
    # Of two tokens the third request finds none used beyond them, and the fourth does.
    for units in (1, 2, 3):
        assert edge.codes(1, "/tokens") == "."
        until(partial(charged, edge, "tokens_t", units), f"{units} tokens were to be charged")
    assert edge.codes(1, "/tokens") == "x"


def test_metadata_routes_requests_to_the_service_that_has_room(edge: Edge) -> None:
    served = []
    for units in (1, 2):
        served.append(edge.ask("/served").text)
        until(partial(charged, edge, "served_m1", units), "the first service was to be charged")
    for units in (1, 2, 3):
        served.append(edge.ask("/served").text)
        until(partial(charged, edge, "served_m2", units), "the second service was to be charged")
    assert served == ["m1", "m1", "m2", "m2", "m2"]
    assert edge.codes(1, "/served") == "x"


def test_changed_file_is_in_force_without_a_restart(edge: Edge) -> None:
    asked = {"domain": "late", "descriptors": [{"entries": [{"key": "a"}]}]}

    def status() -> int:
        return httpx.post(f"{edge.json}/json", json=asked, timeout=60).status_code

    assert status() == 200
    more = {"domain": "late", "descriptors": [node("a", limit="0/year")]}
    (edge.folder / "late.yaml").write_text(json.dumps(more))
    until(lambda: status() == 429, "the other file was to be read")
    (edge.folder / "late.yaml").write_text("domain: late\ndescriptors: 5\n")
    until(lambda: "config_load_error 1\n" in httpx.get(edge.metrics, timeout=60).text, "it was to be refused")
    assert status() == 429


def test_health_is_told_over_http_and_grpc(edge: Edge) -> None:
    assert httpx.get(f"{edge.json}/healthcheck", timeout=60).text == "OK"
    with grpc.insecure_channel(edge.grpc) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=60) == b"\x08\x01"


def test_two_workers_share_counters_and_numbers(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers", "2") as (started, grpc_at, _, metrics_at):
        codes = []
        for _ in range(12):
            # A channel of its own each: the kernel deals connections out to the processes.
            with grpc.insecure_channel(grpc_at, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                request = rls_pb2.RateLimitRequest(domain="rl")
                request.descriptors.add().entries.add(key="foo", value="x")
                stub = rls_pb2_grpc.RateLimitServiceStub(channel)
                codes.append(stub.ShouldRateLimit(request, timeout=60).overall_code)
        assert codes == [1, 1, *[2] * 10]
        edge = Edge("", grpc_at, "", metrics_at, tmp_path)
        until(lambda: edge.stat("total_hits", 'key1="foo"') == 12, "one page was to have all numbers")
        started.terminate()
        assert started.wait(60) == 0


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ([], 2, "nothing to decide by"),
        (["--descriptors", "FILE"], 2, "nothing to serve"),
        (["--descriptors", "FILE", "--http", "127.0.0.1:1", "--for", "nginx"], 2, "without a policy"),
        (["--descriptors", "BAD", "--envoy", "127.0.0.1:1"], 1, "BAD:3: error: "),
        (["POLICY", "--json", "127.0.0.1:1"], 2, "--json without --descriptors"),
        (["LEASED", "--descriptors", "FILE", "--envoy", "127.0.0.1:1"], 2, 'mode = "exact"'),
    ],
)
def test_options_that_do_not_go_together_are_named(
    tmp_path: Path, options: list[str], code: int, says: str
) -> None:
    hashing = f'[hashing]\nkey = "{"0" * 32}"\n'
    texts = {
        "FILE": "domain: d\n",
        "BAD": "domain: d\ndescriptors:\n- key: ''\n",
        "POLICY": "version = 1\n",
        "LEASED": f'version = 1\n{hashing}[store]\nurl = "redis://127.0.0.1:1/0"\nmode = "leased"\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    ended = run("serve", *(str(tmp_path / each) if each in texts else each for each in options))
    assert ended.exit_code == code, ended.stderr
    assert says in ended.stderr
