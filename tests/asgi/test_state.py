"""Values that applications leave in `scope["state"]`, in whatever frameworks keep there."""

from __future__ import annotations

from collections import ChainMap, UserDict, defaultdict
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from litestar.datastructures import State as LitestarState
from litestar.datastructures.state import ImmutableState
from starlette.datastructures import State

from ratelimit.identity.fact import value_bytes
from tests.asgi.driver import limit, mount, rules
from tests.asgi.test_resolving import Faults

ACCOUNT = 'account = { from = "state:account", missing = "refuse" }'
PER_ACCOUNT = limit(rate="2/minute")


class Slotted:
    __slots__ = ("account",)

    def __init__(self, account: object) -> None:
        self.account = account


class Computed:
    @property
    def account(self) -> str:
        return "ann"


class ByItem:
    def __getitem__(self, name: str) -> object:
        return {"account": "ann"}[name]


class ByAttribute:
    def __getattr__(self, name: str) -> object:
        if name == "account":
            return "ann"
        raise AttributeError(name)


class Raises:
    @property
    def account(self) -> str:
        raise RuntimeError("the session is detached")


class RaisesMapping(UserDict[str, Any]):
    def __getitem__(self, name: str) -> object:
        raise RuntimeError


class RaisesItem:
    def __getitem__(self, name: str) -> object:
        raise RuntimeError


def of_starlette() -> State:
    state = State()
    state.account = "ann"
    return state


HOLDERS = {
    "dict": {"account": "ann"},
    "starlette": of_starlette(),
    "starlette with a dict": State({"account": "ann"}),
    "litestar": LitestarState({"account": "ann"}),
    "litestar, immutable": ImmutableState({"account": "ann"}),
    "namespace": SimpleNamespace(account="ann"),
    "slots": Slotted("ann"),
    "property": Computed(),
    "proxy": MappingProxyType({"account": "ann"}),
    "user dict": UserDict({"account": "ann"}),
    "chain": ChainMap({}, {"account": "ann"}),
    "default dict": defaultdict(str, {"account": "ann"}),
    "items alone": ByItem(),
    "attributes alone": ByAttribute(),
}
EMPTY = {
    "none": None,
    "dict": {},
    "starlette": State(),
    "litestar": LitestarState({}),
    "namespace": SimpleNamespace(),
    "slots": Slotted(None),
    "unset slot": Slotted.__new__(Slotted),
    "items alone": SimpleNamespace(__getitem__=None),
    "object": object(),
    "text": "account",
    "number": 7,
    "list": ["account"],
}
BROKEN = {"property": Raises(), "mapping": RaisesMapping({"account": "x"}), "items alone": RaisesItem()}


@pytest.mark.parametrize("name", HOLDERS)
async def test_account_in_a_state_of_any_kind_is_the_account(name: str) -> None:
    client = mount(rules(PER_ACCOUNT, identities=ACCOUNT)).client
    assert (await client(state={"account": "ann"})).status == 200
    # The same caller, whatever holds it.
    assert await client.statuses(2, state=HOLDERS[name]) == [200, 429]
    assert (await client(state={"account": "bob"})).status == 200


@pytest.mark.parametrize("name", EMPTY)
async def test_state_without_the_account_follows_the_stance(name: str) -> None:
    faults = Faults()
    client = mount(rules(PER_ACCOUNT, identities=ACCOUNT), observer=faults).client
    assert (await client(state=EMPTY[name])).status == 403


@pytest.mark.parametrize("name", BROKEN)
async def test_state_that_raises_when_it_is_read_fails_no_request(name: str) -> None:
    faults = Faults()
    client = mount(rules(PER_ACCOUNT, identities=ACCOUNT), observer=faults).client
    assert (await client(state=BROKEN[name])).status == 403
    assert faults.codes == ["identity-type"]


def test_integer_too_long_to_be_written_out_is_no_value() -> None:
    """Hazard: Python refuses to turn an integer of more than 4,300 digits into text."""
    assert value_bytes(10**5000) is None
    assert value_bytes(-(10**5000)) is None
    assert value_bytes(10**3000) == b"1" + b"0" * 3000
