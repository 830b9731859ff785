"""Imports of any input: they end in a policy that can be used, or in a sentence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.cli.importing.decorators import read_decorators
from ratelimit.cli.importing.draft import PolicyDraft, identity_name
from ratelimit.policy import Policy

START = """\
from fastapi import FastAPI
from slowapi import Limiter
from slowapi.util import get_remote_address
limiter = Limiter(key_func=get_remote_address, strategy="moving-window")
app = FastAPI()
"""


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
