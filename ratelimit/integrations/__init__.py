"""Limits that routes ask for, by framework: dependencies, decorators, guards.

    from ratelimit.integrations.fastapi import exempt, limit, limits
    from ratelimit.integrations.starlette import exempt, limit, limits
    from ratelimit.integrations.litestar import exempt, limit, limits

All of them go through `RateLimitMiddleware`: it has the limiter, writes the fields of responses and
frees what a request holds. So a limit of a route is counted where one of the policy is, in shared memory
or by the server, and as exactly.
"""
