"""Errors between processes: a pool hands over what one of its processes raised."""

from __future__ import annotations

import copy
import pickle

import pytest

from ratelimit import PolicyError, RateLimitError, StoreError, UsageError
from ratelimit.errors import Problem
from ratelimit.stores.redis.transport.errors import NothingCharged

PROBLEM = Problem("limit-rate", "error", "`a/b` is no rate", "policy.toml", 3, "limit[0].rate", "Write 1/m.")
ERRORS = (
    RateLimitError("wrong", code="some-code"),
    PolicyError("two lines\nof text", code="policy-invalid", problems=(PROBLEM,)),
    UsageError("wrong", code="limit-unmounted"),
    StoreError("away", code="redis-unreachable", transient=True),
    NothingCharged("away", code="redis-unreachable", transient=True),
)


def families(kind: type[RateLimitError]) -> set[type[RateLimitError]]:
    """Return a class of errors and all below it."""
    return {kind}.union(*map(families, kind.__subclasses__()))


def test_every_class_of_error_is_tried() -> None:
    ours = {kind for kind in families(RateLimitError) if kind.__module__.startswith("ratelimit.")}
    assert {type(error) for error in ERRORS} == ours


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "transfer", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_error_arrives_whole_in_another_process(error: RateLimitError, transfer) -> None:
    error.add_note("while the worker started")
    arrived = transfer(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.args == error.args
    assert vars(arrived) == vars(error)
