"""The sentences for mistakes that the library notices by itself, by code."""

from __future__ import annotations

from collections.abc import Mapping

DIAGNOSES: Mapping[str, str] = {
    "undeclared-proxy": (
        "a request carried X-Forwarded-For or Forwarded from a peer that is not in trust.proxies; the header "
        "was ignored and the peer's own address counted. If that peer is your proxy, declare it; "
        "if not, all is well."
    ),
    "client-missing": (
        "a request had no client address (a Unix socket?), so limits per client followed their identity's "
        '`missing` rule. Declare the proxy with trust.proxies = ["unix"] if it sends the address in a header.'
    ),
    "mounted-twice": (
        "RateLimitMiddleware is mounted twice for one policy; the inner one does not charge again. "
        "Mount it once."
    ),
    "private-memory": (
        "counters are in private memory while several workers seem to run: each worker admits the whole "
        'limit. Use [store] memory = "shared".'
    ),
    "identity-type": (
        'a value from scope["state"], a path or a resolver was neither text, bytes, an integer nor a UUID, '
        "and counted as missing."
    ),
    "resolver-busy": (
        "too many calls of a resolver were under way at once; further requests counted as lacking "
        "the identity."
    ),
}
"""What is said, once in each process, for each code."""
