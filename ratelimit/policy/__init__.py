"""The policy file: read, checked whole, compiled into what a limiter decides by.

Pure but for `Policy.load` and `read_key`, which read the files they are pointed at.
"""

from ratelimit.errors import Problem
from ratelimit.policy.compile.compiled import CompiledPolicy, IdentitySpec, LimitRule, LimitSpec
from ratelimit.policy.loader import Policy
from ratelimit.policy.routing.route import Route
from ratelimit.policy.routing.router import Router

__all__ = [
    "CompiledPolicy",
    "IdentitySpec",
    "LimitRule",
    "LimitSpec",
    "Policy",
    "Problem",
    "Route",
    "Router",
]
