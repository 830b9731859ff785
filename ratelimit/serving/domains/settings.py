"""Settings of the reference service, from the variables of the environment that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_ELSEWHERE = {
    "HOST": "--json HOST:PORT",
    "PORT": "--json HOST:PORT",
    "GRPC_HOST": "--envoy HOST:PORT",
    "GRPC_PORT": "--envoy HOST:PORT",
    "GRPC_UDS": "--envoy unix:PATH",
    "RUNTIME_ROOT": "--descriptors PATH",
    "RUNTIME_SUBDIRECTORY": "--descriptors PATH",
    "RUNTIME_APPDIRECTORY": "--descriptors PATH",
    "PROMETHEUS_ADDR": "--metrics-port PORT",
    "REDIS_PERSECOND": "`url` of [store] in the policy, one server for all",
    "CACHE_KEY_PREFIX": "`prefix` of [store] in the policy",
    "BACKEND_TYPE": "`url` of [store] in the policy",
    "MEMCACHE_HOST_PORT": "`url` of [store] in the policy",
    "USE_STATSD": "--metrics-port PORT",
    "STATSD_HOST": "--metrics-port PORT",
    "USE_DOG_STATSD": "--metrics-port PORT",
    "GRPC_SERVER_USE_TLS": "a proxy that ends TLS",
    "CONFIG_TYPE": "--descriptors PATH",
}
"""Variables that it reads and this does not, with what there is in their place."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the reference service that have a meaning here."""

    has_headers: bool = False
    limit_header: str = "RateLimit-Limit"
    remaining_header: str = "RateLimit-Remaining"
    reset_header: str = "RateLimit-Reset"
    is_shadow: bool = False
    """Whether every call is allowed."""
    is_quota: bool = False
    """Whether every limit is a quota."""
    has_metadata: bool = False
    merges: bool = False
    """Whether several files may have parts of one domain."""
    near: float = 0.8
    """The share of a limit from which hits are near it."""
    stops_counting: bool = False
    """Whether a call that is over a limit leaves its other counters alone."""
    needs_domain: bool = False
    """Whether a process without a domain is unhealthy."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """Return what the environment says.

        Raises:
            ValueError: a variable has a value that it cannot have; the message says which.
        """
        plain = cls()
        return cls(
            has_headers=_flag(environment, "LIMIT_RESPONSE_HEADERS_ENABLED"),
            limit_header=_field(environment, "LIMIT_LIMIT_HEADER", plain.limit_header),
            remaining_header=_field(environment, "LIMIT_REMAINING_HEADER", plain.remaining_header),
            reset_header=_field(environment, "LIMIT_RESET_HEADER", plain.reset_header),
            is_shadow=_flag(environment, "SHADOW_MODE"),
            is_quota=_flag(environment, "QUOTA_MODE"),
            has_metadata=_flag(environment, "RESPONSE_DYNAMIC_METADATA"),
            merges=_flag(environment, "MERGE_DOMAIN_CONFIG"),
            near=_share(environment, "NEAR_LIMIT_RATIO", plain.near),
            stops_counting=_flag(environment, "STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT"),
            needs_domain=_flag(environment, "HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED"),
        )


def tables_of(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the tables of a policy for the server that the environment names; empty where it names none.

    Hosts that count together hash with one key. Without `RATELIMIT_HASH_KEY` it follows from what they all
    have: the server's address and password.

    Raises:
        ValueError: a variable has a value that it cannot have; the message says which.
    """
    address = environment.get("REDIS_URL", "")
    if not address:
        return {}
    kind = environment.get("REDIS_TYPE", "").strip().lower() or "single"
    scheme = "rediss" if _flag(environment, "REDIS_TLS") else "redis"
    if kind == "sentinel":
        name, _, sentinels = address.partition(",")
        url = f"{scheme}+sentinel://{sentinels}/{name}/0"
    elif kind == "cluster":
        url = f"{scheme}+cluster://{address}"
    elif environment.get("REDIS_SOCKET_TYPE", "unix").strip().lower() == "tcp":
        url = address if "://" in address else f"{scheme}://{address}/0"
    else:
        url = f"unix://{address}"
    store = {"url": url}
    user, colon, _ = environment.get("REDIS_AUTH", "").partition(":")
    if colon:
        raise ValueError(
            f"REDIS_AUTH has a user ({user[:40]}): write `username` and `password` under [store] of a policy"
        )
    if user:
        store["password"] = "env:REDIS_AUTH"
    hashing = "env:RATELIMIT_HASH_KEY"
    if not environment.get("RATELIMIT_HASH_KEY"):
        hashing = blake2b(f"{address}\n{user}".encode(), digest_size=16, person=b"descriptors").hexdigest()
    return {"store": store, "hashing": {"key": hashing}}


def unread(environment: Mapping[str, str], *, has_policy: bool = False) -> list[str]:
    """Return a sentence for each variable of the reference service that is set and not read here."""
    elsewhere = dict(_ELSEWHERE)
    if has_policy:
        elsewhere["REDIS_URL"] = "`url` of [store] in the policy"
    return [
        f"{name} is set and not read: give {instead}"
        for name, instead in elsewhere.items()
        if environment.get(name)
    ]


def _flag(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").strip().lower()
    if text and text not in (*_TRUE, *_FALSE):
        raise ValueError(f"{name} is true or false, not {text[:40]!r}")
    return text in _TRUE


def _share(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip()
    try:
        share = float(text) if text else default
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{name} is a number from 0 to 1, not {text[:40]!r}")
    return share


def _field(environment: Mapping[str, str], name: str, default: str) -> str:
    text = environment.get(name, "") or default
    if (
        not all(character.isalnum() or character in "!#$%&'*+-.^_`|~" for character in text)
        or not text.isascii()
    ):
        raise ValueError(f"{name} is the name of a header field, not {text[:40]!r}")
    return text
