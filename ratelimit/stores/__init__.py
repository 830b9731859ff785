"""Where the limits' state lives. `base` has the contract, `opening` picks a store."""

from ratelimit.stores.opening import open_store

__all__ = ["open_store"]
