"""An interceptor for `grpc.aio` servers, by the same policy file and in the same memory.

server = grpc.aio.server(interceptors=[RateLimitInterceptor(policy="policy.toml")])
"""

from ratelimit.grpc.interceptor import RateLimitInterceptor, current

__all__ = ["RateLimitInterceptor", "current"]
