"""The middleware for WSGI: Flask, Django and others, by the same policy file and in the same memory.

app.wsgi_app = RateLimitMiddleware(app.wsgi_app, policy="policy.toml")
"""

from ratelimit.wsgi.middleware import RateLimitMiddleware

__all__ = ["RateLimitMiddleware"]
