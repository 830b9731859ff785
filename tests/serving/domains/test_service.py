"""Calls of a service of domains: what counts, what is answered, and what a policy on top says."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ratelimit.serving.descriptors import DescriptorError
from ratelimit.serving.domains.service import Call, Descriptor
from ratelimit.serving.domains.settings import Settings, tables_of, unread
from ratelimit.serving.domains.statistics import MOST_SERIES, Statistics
from tests.serving.domains.calling import OK, OVER, serving
from tests.serving.domains.test_examples import at, node

A, B = node("a", limit="3/minute"), node("b", limit="5/hour")


def of(*descriptors: dict[str, object]) -> dict[str, object]:
    return {"domain": "d", "descriptors": list(descriptors)}


def test_counter_counts_beyond_its_limit_and_where_another_refuses(tmp_path: Path) -> None:
    """Hazard: five hits of three are refused; of a limiter that charges nothing then, one more would pass."""
    with serving(tmp_path, of(A, B)) as service:
        assert service.codes(1, at("a=1"), hits=5) == "x"
        assert service.codes(1, at("a=1")) == "x"
        assert service.codes(5, at("a=1"), at("b=1")) == "xxxxx"
        answer = service.call(at("b=1"))
        assert answer.overall_code == OVER
        service.clock.advance(60)
        assert service.codes(4, at("a=1")) == "...x"


def test_hits_of_a_descriptor_go_before_those_of_the_call_and_zero_only_looks(tmp_path: Path) -> None:
    with serving(tmp_path, of(A)) as service:
        assert service.codes(9, at("a=1"), own={0: 0}, hits=7) == "........."
        assert service.codes(3, at("a=1"), own={0: 1}, hits=7) == "..."
        # It holds as much as there may be: to look is allowed, and to add is not.
        answer = service.call(at("a=1"), own={0: 0})
        assert (answer.overall_code, answer.statuses[0].limit_remaining) == (OK, 0)
        assert service.codes(1, at("a=1")) == "x"
        assert service.codes(1, at("a=1"), own={0: 0}) == "x"


def test_one_descriptor_twice_in_a_call_counts_twice_and_in_turn(tmp_path: Path) -> None:
    with serving(tmp_path, of(A)) as service:
        answer = service.call(at("a=1"), at("a=1"), at("a=2"), own={1: 2})
        assert [each.limit_remaining for each in answer.statuses] == [2, 0, 2]
        answer = service.call(at("a=2"), at("a=2"), at("a=2"))
        assert [each.code for each in answer.statuses] == [OK, OK, OVER]


def test_limit_of_a_descriptor_stands_for_that_of_the_file_and_counts_with_it(tmp_path: Path) -> None:
    with serving(tmp_path, of({**A, "shadow_mode": True})) as service:
        answer = service.call(at("a=1"), limits={0: (2, 2)})
        assert (answer.statuses[0].current_limit.requests_per_unit, answer.statuses[0].limit_remaining) == (
            2,
            1,
        )
        assert service.codes(2, at("a=1")) == ".."
        # Of a limit that a call brings none is in shadow.
        assert service.codes(1, at("a=1"), limits={0: (2, 2)}) == "x"
        assert service.codes(1, at("a=1"), limits={0: (2, 3)}) == "."
        with pytest.raises(DescriptorError, match="without a unit"):
            service.domains.decide(Call("d", 0, [Descriptor([("a", "1")], (2, 0))]))


def test_quotas_refuse_only_together_and_a_limit_by_itself(tmp_path: Path) -> None:
    tree = [
        node("service", "one", "1/minute", quota_mode=True),
        node("service", "two", "2/minute", quota_mode=True),
        A,
    ]
    with serving(tmp_path, of(*tree)) as service:
        both = at("service=one"), at("service=two")
        assert service.codes(3, *both) == "..x"
        assert service.codes(1, at("service=one")) == "x"
        service.clock.advance(60)
        # A limit that has room does not help quotas, and quotas with room do not help a limit.
        assert service.codes(4, *both, at("a=1")) == "..xx"
        assert service.codes(1, at("service=three"), at("a=1")) == "x"


def test_settings_change_what_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path, of(A), settings=Settings(is_shadow=True)) as service:
        assert service.codes(5, at("a=1")) == "....."
        assert service.call(at("a=1")).statuses[0].code == OVER
    with serving(tmp_path, of(A, B), settings=Settings(is_quota=True)) as service:
        assert service.codes(5, at("a=1"), at("b=1")) == "....."
        assert service.codes(1, at("a=1"), at("b=1")) == "x"
    with serving(tmp_path, of(A, B), settings=Settings(stops_counting=True)) as service:
        assert service.codes(4, at("a=1"), at("b=1")) == "...x"
        # The call that was over left the other counter alone.
        assert service.call(at("b=1")).statuses[0].limit_remaining == 1


def test_fields_are_of_the_tightest_limit_and_of_one_that_is_over(tmp_path: Path) -> None:
    settings = Settings(has_headers=True, limit_header="X-Limit")
    with serving(tmp_path, of(A, B), settings=settings) as service:
        service.clock.advance(10)
        added = service.call(at("a=1"), at("b=1"), at("c=1")).response_headers_to_add
        assert {each.key: each.value for each in added} == {
            "X-Limit": "3",
            "RateLimit-Remaining": "2",
            "RateLimit-Reset": "50",
        }
        service.call(at("b=1"), hits=9)
        added = service.call(at("a=1"), at("b=1")).response_headers_to_add
        assert [each.value for each in added][:2] == ["5", "0"]
        assert not service.call(at("c=1")).response_headers_to_add
    with serving(tmp_path, of(A)) as service:
        assert not service.call(at("a=1")).response_headers_to_add


def test_metadata_is_of_descriptors_that_have_room(tmp_path: Path) -> None:
    tree = [
        node("s", "1", "1/minute", quota_mode=True, metadata={"name": {"first": 1}, "list": [True, None]}),
        node("s", "2", "2/minute", quota_mode=True, metadata={"name": {"first": 2, "more": "x"}}),
    ]
    with serving(tmp_path, of(*tree), settings=Settings(has_metadata=True)) as service:
        told = dict(service.call(at("s=1"), at("s=2"), hits=1, own={1: 1}).dynamic_metadata)
        assert told["domain"] == "d"
        assert told["hitsAddend"] == 1
        assert [dict(each)["entries"][0] for each in told["descriptors"]] == ["s=1", "s=2"]
        assert dict(told["metadata"]["name"]) == {"first": 1, "more": "x"}
        told = dict(service.call(at("s=1"), at("s=2")).dynamic_metadata)
        assert dict(told["metadata"]["name"]) == {"first": 2, "more": "x"}
        told = dict(service.call(at("s=1"), at("s=2")).dynamic_metadata)
        assert "metadata" not in told


def test_call_without_a_domain_or_descriptors_is_a_mistake_and_an_unknown_domain_is_not(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, of(A)) as service:
        assert service.codes(5, at("a=1"), domain="other") == "....."
        for call in (Call("", 0, [Descriptor([])]), Call("d", 0, [])):
            with pytest.raises(DescriptorError):
                service.domains.decide(call)
        text = service.domains.statistics.text().decode()
        assert "ratelimit_service_domain_not_found 5\n" in text
        assert 'ratelimit_service_should_rate_limit_error{err_type="service_error"} 2\n' in text


def test_any_number_of_descriptors_and_any_bytes_are_decided(tmp_path: Path) -> None:
    with serving(tmp_path, of(A)) as service:
        many = [at(f"a={number}") for number in range(40)]
        answer = service.call(*many)
        assert [each.limit_remaining for each in answer.statuses] == [2] * 40
        call = Call("d", 0, [Descriptor([("a", "\udcff")])])
        assert [service.domains.decide(call).allowed for _ in range(4)] == [True, True, True, False]
        assert (
            service.domains.decide(Call("d", 0, [Descriptor([("a", "\udcfe")], None, 2**64 - 1)])).allowed
            is False
        )


def test_callers_at_the_same_time_get_the_limit_exactly(tmp_path: Path) -> None:
    with serving(tmp_path, of(node("a", limit="100/day"))) as service, ThreadPoolExecutor(8) as pool:
        calls = pool.map(lambda _: service.call(at("a=1")).overall_code, range(300))
        assert Counter(calls) == {OK: 100, OVER: 200}


POLICY = """
version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "ours"
per = "account"
rate = "2/year"
algorithm = "fixed-window"
"""


def test_policy_on_top_decides_what_descriptors_allow(tmp_path: Path) -> None:
    ask = at("a=1"), at("x-api-key=k", "path=/v1")
    with serving(tmp_path, of(node("a", limit="4/minute")), policy=POLICY) as service:
        assert service.codes(3, *ask) == "..x"
        refused = service.call(*ask)
        assert [each.code for each in refused.statuses] == [OK, OK]
        assert json.loads(refused.raw_body)["violated-policies"] == ["ours"]
        assert "retry-after" in {each.key for each in refused.response_headers_to_add}
        # The policy did not hear of a call that the descriptors refused.
        other = at("a=1"), at("x-api-key=other")
        assert service.codes(2, *other) == "xx"
        service.clock.advance(60)
        assert service.codes(3, *other) == "..x"
        # A descriptor's own limit is one of the descriptors.
        assert service.codes(1, at("a=9"), at("x-api-key=third"), limits={0: (0, 1)}) == "x"


def test_statistics_say_what_was_near_over_within_and_in_shadow(tmp_path: Path) -> None:
    tree = [node("a", limit="10/minute"), {**node("s", limit="1/minute"), "shadow_mode": True}]
    with serving(tmp_path, of(*tree, {"key": "u", "rate_limit": {"unlimited": True}})) as service:
        for hits in (7, 2, 3):
            service.call(at("a=1"), hits=hits)
        service.call(at("a=2"), at("u=1"), hits=11)
        service.codes(3, at("s=1"))
        # total, over, near (beyond 8 of 10), within, shadow.
        assert service.series == {
            "d.a": [23, 3, 4, 9, 0],
            "d.u": [11, 0, 0, 0, 0],
            "d.s": [3, 2, 1, 1, 2],
        }
        text = service.domains.statistics.text().decode()
    assert 'ratelimit_service_rate_limit_over_limit{domain="d",key1="a"} 3\n' in text


def test_names_of_statistics_are_bounded_and_processes_share_them(tmp_path: Path) -> None:
    """Hazard: a client's values are in the names of detailed metrics."""
    one = Statistics()
    for number in range(MOST_SERIES + 5):
        one.hit(f"d.key_{number}", "d.key", 1)
    assert len(one._series) == MOST_SERIES + 1
    assert one._series["d.key"][0] == 5
    first, other = Statistics(folder=tmp_path), Statistics()
    other.hit('d.a_10.0.0.1"\n.b:1.c', "d.a", 4)
    other.add("config_load_success")
    series, service = other._all()
    (tmp_path / "0.json").write_text(json.dumps([series, service]))
    first.hit('d.a_10.0.0.1"\n.b:1.other', "d.a", 3)
    text = first.text().decode()
    # Two levels have labels, as the reference service maps them.
    line = 'ratelimit_service_rate_limit_total_hits{domain="d",key1="a_10_0_0_1\\"\\n",key2="b_1"} 7'
    assert line in text.splitlines()
    assert "ratelimit_service_config_load_success 1" in text


def test_environment_is_read_as_the_service_reads_it() -> None:
    settings = Settings.of(
        {
            "LIMIT_RESPONSE_HEADERS_ENABLED": "true",
            "LIMIT_RESET_HEADER": "X-Reset",
            "SHADOW_MODE": "0",
            "QUOTA_MODE": "T",
            "NEAR_LIMIT_RATIO": "0.5",
        }
    )
    assert settings == Settings(has_headers=True, reset_header="X-Reset", is_quota=True, near=0.5)
    for name, value in (("SHADOW_MODE", "maybe"), ("NEAR_LIMIT_RATIO", "2"), ("LIMIT_LIMIT_HEADER", "a b")):
        with pytest.raises(ValueError, match=name):
            Settings.of({name: value})
    assert unread({"GRPC_PORT": "8081", "PATH": "/bin"}) == [
        "GRPC_PORT is set and not read: give --envoy HOST:PORT"
    ]
    # A policy names the store of its own.
    assert unread({"REDIS_URL": "redis:6379"}) == []
    assert len(unread({"REDIS_URL": "redis:6379"}, has_policy=True)) == 1


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "redis:6379"}, "redis://redis:6379/0"),
        ({"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "r:1", "REDIS_TLS": "true"}, "rediss://r:1/0"),
        ({"REDIS_URL": "/run/redis.sock"}, "unix:///run/redis.sock"),
        ({"REDIS_TYPE": "SENTINEL", "REDIS_URL": "mine,a:1,b:2"}, "redis+sentinel://a:1,b:2/mine/0"),
        ({"REDIS_TYPE": "cluster", "REDIS_URL": "a:1,b:2"}, "redis+cluster://a:1,b:2"),
    ],
)
def test_redis_of_the_environment_is_the_store_of_all_hosts(environment: dict[str, str], url: str) -> None:
    tables = tables_of(environment)
    assert tables["store"]["url"] == url
    assert tables == tables_of(dict(environment))
    assert tables["hashing"] != tables_of({**environment, "REDIS_AUTH": "secret"})["hashing"]
    assert tables_of({**environment, "RATELIMIT_HASH_KEY": "x"})["hashing"] == {
        "key": "env:RATELIMIT_HASH_KEY"
    }
    with pytest.raises(ValueError, match="REDIS_AUTH"):
        tables_of({**environment, "REDIS_AUTH": "user:secret"})


def test_environment_without_a_redis_has_no_store() -> None:
    assert tables_of({}) == {}


def test_first_pattern_of_the_file_that_fits_is_taken(tmp_path: Path) -> None:
    tree = [node("k", "a*", "1/minute"), node("k", "a*b", "3/minute"), node("k", "ab", "2/minute")]
    with serving(tmp_path, of(*tree)) as service:
        assert service.codes(3, at("k=axb")) == ".xx"
        assert service.codes(3, at("k=ab")) == "..x"
    with serving(tmp_path, of(tree[1], tree[0])) as service:
        assert service.codes(4, at("k=axb")) == "...x"
        assert service.codes(2, at("k=ax")) == ".x"


PATH = node("p", "p/*", share_threshold=True, descriptors=[])


@pytest.mark.parametrize(
    ("tree", "entries", "series"),
    [
        ([node("k", "foo*", "1/day")], at("k=foo1"), "k_foo*"),
        ([node("k", "foo*", "1/day", value_to_metric=True)], at("k=foo1"), "k_foo1"),
        ([node("k", "foo*", "1/day", value_to_metric=True, share_threshold=True)], at("k=foo1"), "k_foo*"),
        ([node("k", "foo*", "1/day", detailed_metric=True)], at("k=foo1"), "k_foo1"),
        ([node("k", "foo*", "1/day", detailed_metric=True, share_threshold=True)], at("k=foo1"), "k_foo*"),
        ([node("k", limit="1/day")], at("k=v"), "k"),
        ([node("k", limit="1/day", value_to_metric=True)], at("k=v"), "k_v"),
        ([node("k", limit="1/day", value_to_metric=True)], at("k="), "k"),
        ([node("k", limit="1/day", detailed_metric=True)], at("k="), "k_"),
        (
            [node("k", descriptors=[node("l", limit="1/day", detailed_metric=True)])],
            at("k=v", "l=w"),
            "k_v.l_w",
        ),
        (
            [{**PATH, "descriptors": [node("e", limit="1/day", detailed_metric=True)]}],
            at("p=p/1", "e=get"),
            "p_p/*.e_get",
        ),
        (
            [{**PATH, "descriptors": [node("f", "f/*", descriptors=[node("t", limit="1/day")])]}],
            at("p=p/1", "f=f/2", "t=x"),
            "p_p/*.f_f/*.t",
        ),
    ],
)
def test_series_is_named_as_the_flags_say(
    tmp_path: Path, tree: list[dict[str, object]], entries: tuple[tuple[str, str], ...], series: str
) -> None:
    with serving(tmp_path, of(*tree)) as service:
        service.call(entries)
        assert set(service.series) == {f"d.{series}"}
