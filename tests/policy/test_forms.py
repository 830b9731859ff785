"""The values of `as`, and the values that a list may have."""

from __future__ import annotations

import pytest

from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import SourceSpec


def policy(source: str, *denied: str) -> Policy:
    listed = f"[deny]\nx = {list(denied)}\n" if denied else ""
    return Policy.from_toml(
        f'version = 1\n[identities]\nx = {{ from = "{source}" }}\n{listed}'
        '[[limit]]\nname = "l"\nper = "x"\nrate = "1/second"\nmatch = "/{id}"\n'
    )


@pytest.mark.parametrize("form", ["int", "float", "uuid", "caseless", "text"])
@pytest.mark.parametrize("kind", ["header", "cookie", "path"])
def test_source_says_what_the_application_reads(kind: str, form: str) -> None:
    assert policy(f"{kind}:id as {form}").compiled.identities[0].sources == (SourceSpec(kind, "id", form),)  # type: ignore[arg-type]


def test_header_of_another_name_may_hold_a_credential() -> None:
    assert policy("header:X-Auth as credential").compiled.identities[0].sources == (
        SourceSpec("header", "x-auth", "credential"),
    )
    policy("header:authorization as text")


@pytest.mark.parametrize(
    "source",
    [
        "cookie:x as credential", "path:id as credential", "state:x as int", "resolver:x as uuid",
        "header:authorization as int", "header:x as", "header:x as ", "header:x as  int", "header:x as Int",
        "header:x as int as int", "client as int",
    ],
)  # fmt: skip
def test_form_that_no_source_has_is_an_error(source: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(source)
    assert {problem.code for problem in caught.value.problems} <= {"identity-form", "identity-source"}


@pytest.mark.parametrize(
    ("source", "denied"),
    [
        ("header:x", "é"), ("header:authorization", "Bearer a b"),
        ("header:authorization", "Basic eDp5="), ("path:id as int", "+7"), ("path:id as uuid", "7"),
        ("cookie:x as int", "7.0"),
    ],
)  # fmt: skip
def test_listed_value_that_no_request_has_is_an_error(source: str, denied: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(source, denied)
    assert [problem.code for problem in caught.value.problems] == ["list-value"]
    assert denied not in str(caught.value)  # it may be a secret


@pytest.mark.parametrize(
    ("source", "denied"),
    [
        ("header:authorization", "Bearer KEY"), ("header:authorization", "KEY"), ("path:id as int", "007"),
        ("cookie:x", "a b"), ("state:x", "é"), ("header:x as caseless", "ACME"),
    ],
)  # fmt: skip
def test_listed_value_is_written_as_a_client_sends_it(source: str, denied: str) -> None:
    assert policy(source, denied).compiled.deny.values == ((0, denied),)
