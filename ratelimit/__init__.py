"""Rate limiting for ASGI applications: exact across workers, with a policy in a file.

app.add_middleware(RateLimitMiddleware, policy="policy.toml")
"""

from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.decision import Decision, Reason, Verdict
from ratelimit.errors import PolicyError, RateLimitError, StoreError, UsageError
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy

__all__ = [
    "Decision",
    "Limiter",
    "Policy",
    "PolicyError",
    "RateLimitError",
    "RateLimitMiddleware",
    "Reason",
    "StoreError",
    "UsageError",
    "Verdict",
]
