"""Imports of any input: they end in a policy that can be used, or in a sentence."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.cli.importing.decorators import read_decorators
from ratelimit.cli.importing.draft import PolicyDraft, identity_name
from ratelimit.cli.importing.envoy import read_envoy
from ratelimit.policy import Policy

START = """\
from fastapi import FastAPI
from slowapi import Limiter
from slowapi.util import get_remote_address
limiter = Limiter(key_func=get_remote_address, strategy="moving-window")
app = FastAPI()
"""
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
descriptors = st.recursive(
    st.lists(
        st.dictionaries(
            st.sampled_from(["key", "value", "rate_limit", "shadow_mode", "descriptors", "x"]),
            st.one_of(
                scalars,
                st.sampled_from(["remote_address", "path", "/a", "user", "generic_key"]),
                st.fixed_dictionaries(
                    {"unit": st.sampled_from(["second", "day", "x"]), "requests_per_unit": st.integers(-1, 9)}
                ),
            ),
            max_size=5,
        ),
        max_size=3,
    ),
    lambda inner: st.lists(
        st.fixed_dictionaries({"key": st.text(max_size=4), "descriptors": inner}), max_size=2
    ),
    max_leaves=6,
)


@given(descriptors)
def test_any_descriptors_give_a_policy_or_a_sentence(tree: Any) -> None:
    draft = PolicyDraft()
    try:
        read_envoy([("r.yaml", json.dumps({"domain": "a", "descriptors": tree}))], draft)
    except ValueError:
        return
    Policy.from_toml(draft.text(["any"]))


def test_keys_that_are_no_text_are_losses() -> None:
    draft = PolicyDraft()
    text = "domain: a\ndescriptors:\n- ? [a]\n  : b\n  rate_limit: {? [x] : y, unit: day}\n"
    read_envoy([("r.yaml", text)], draft)
    assert draft.limits == []
    assert {loss.place.line for loss in draft.losses} == {3, 5}


@given(st.text("abc@.()\n =:'\"limiterLt", max_size=60))
def test_any_text_gives_a_policy_or_a_sentence(text: str) -> None:
    draft = PolicyDraft()
    try:
        read_decorators([("a.py", START + text)], draft)
    except ValueError:
        return
    Policy.from_toml(draft.text([]))


@given(st.text(max_size=20))
def test_name_of_an_identity_is_one(text: str) -> None:
    name = identity_name(text)[:60]
    Policy.from_toml(
        f'version = 1\n[identities]\n{name} = {{ from = "header:x" }}\n'
        f'[[limit]]\nname = "l"\nper = "{name}"\nrate = "1/day"\n'
    )
