"""The compiled core: hashing, the table, and the one call that decides.

There is no pure-Python fallback. A missing or broken extension is one loud error,
because a limiter that silently became a hundred times slower is a fault too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

try:
    from ratelimit.core.algorithms import rule
    from ratelimit.core.decision import engine
    from ratelimit.core.memory import hashing, table
    from ratelimit.core.request import scanner as scan
except ImportError as error:  # pragma: no cover - needs a broken installation
    raise ImportError(
        "ratelimit's compiled core is missing or was built for another Python; "
        "reinstall with `pip install --force-reinstall kinlimit`. In a checkout run `make build`, or go to "
        "another folder: in this one Python imports the sources, whatever is installed "
        f"({error})"
    ) from error


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        if name == "RateLimitMiddleware":
            # The first line of the distribution `asgi-ratelimit`, where it has overwritten our `__init__.py`.
            from ratelimit.environment.neighbours import sentence

            raise ImportError(sentence())
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["engine", "hashing", "rule", "scan", "table"]
