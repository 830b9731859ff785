"""A storage for the `limits` package: what slowapi, Flask-Limiter and others count is exact across workers.

    import ratelimit.integrations.limits

    Limiter(key_func=get_remote_address, storage_uri="kinlimit+shared://orders")

The import makes `limits` know two schemes, `kinlimit+shared` and `async+kinlimit+shared`. All
processes of a user on one host that give the same name count in the same memory. `docs/limits.md`
has the options.
"""

from ratelimit.environment.extras import explained

try:
    from ratelimit.integrations.limits.location import Location
    from ratelimit.integrations.limits.storage import AsyncSharedStorage, SharedStorage
except ModuleNotFoundError as error:
    raise explained(error, limits="limits") from error

__all__ = ["AsyncSharedStorage", "Location", "SharedStorage"]
