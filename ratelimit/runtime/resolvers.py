"""The application's own callables that the policy's `resolver:` identities refer to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from ratelimit.errors import UsageError
from ratelimit.policy.compile.compiled import IdentitySpec

Resolver = Callable[[Any], Any]
"""Given the ASGI scope, returns the identity's value, None for none, or an awaitable of
either. A plain function runs on the event loop: it must not wait for anything."""


def find_resolvers(identities: Sequence[IdentitySpec], given: Mapping[str, Resolver]) -> dict[str, Resolver]:
    """Return the callable for every resolver that a policy names.

    A name with a colon is `package.module:attribute` and is imported; others are looked
    up among those `given`.

    Raises:
        UsageError: there is none (code `resolver-unknown`), or it cannot be called
            (code `resolver-not-callable`).
    """
    found: dict[str, Resolver] = {}
    for identity in identities:
        for source in identity.sources:
            if source.record.is_asked and source.name not in found:
                # By presence: an object of the application's may count as false.
                is_given = source.name in given
                resolver = given[source.name] if is_given else _imported(identity.name, source.name)
                if not callable(resolver):
                    raise UsageError(
                        f"identity {identity.name!r}: resolver {source.name!r} is not callable",
                        code="resolver-not-callable",
                    )
                found[source.name] = resolver
    return found


def _imported(identity: str, name: str) -> Resolver:
    module, colon, attribute = name.partition(":")
    try:
        if not colon:
            raise LookupError("it was not given")
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        # Of any kind: the application's own module runs when it is imported.
        why = (
            f"{error}" if isinstance(error, LookupError | ImportError) else f"{type(error).__name__}: {error}"
        )
        raise UsageError(
            f"identity {identity!r} needs a resolver {name!r} ({why}); pass resolvers={{{name!r}: …}} "
            "to RateLimitMiddleware or Limiter",
            code="resolver-unknown",
        ) from error
    return found  # type: ignore[no-any-return]
