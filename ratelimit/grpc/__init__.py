"""An interceptor for `grpc.aio` servers, by the same policy file and in the same memory.

server = grpc.aio.server(interceptors=[RateLimitInterceptor(policy="policy.toml")])
"""

from ratelimit.environment.extras import explained

try:
    from ratelimit.grpc.interceptor import RateLimitInterceptor, current
except ModuleNotFoundError as error:
    raise explained(error, grpc="grpcio", google="googleapis-common-protos") from error

__all__ = ["RateLimitInterceptor", "current"]
