"""Policies for a server, as a test needs them."""

from __future__ import annotations

from typing import Any

from ratelimit.environment.server import RemoteSpec
from ratelimit.policy import Policy


def spec_of(url: str, **store: Any) -> RemoteSpec:
    """Return how the server of a policy is reached; further keys are those of `[store]`.

    Time-outs are long unless given: a busy machine is no fault of the server's.
    """
    tree = {
        "version": 1,
        "store": {"url": url, "timeout": "5s", **store},
        "hashing": {"key": "00" * 16},
    }
    spec = Policy.from_mapping(tree).compiled.remote
    assert spec is not None
    return spec
