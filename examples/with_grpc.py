"""A gRPC server with limits from a file; processes on one port share them exactly.

python examples/with_grpc.py 127.0.0.1:50051 &
python examples/with_grpc.py 127.0.0.1:50051
"""

import asyncio
import signal
import sys
from pathlib import Path

import grpc

from ratelimit.grpc import RateLimitInterceptor

POLICY = Path(__file__).with_name("grpc.toml")


async def place(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    """Place an order."""
    return b"placed: " + request


async def serve(address: str) -> None:
    """Serve until told to end."""
    server = grpc.aio.server(interceptors=[RateLimitInterceptor(policy=POLICY)])
    # Yours: orders_pb2_grpc.add_OrdersServicer_to_server(Orders(), server)
    methods = {"Place": grpc.unary_unary_rpc_method_handler(place)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", methods),))
    server.add_insecure_port(address)
    await server.start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await server.stop(grace=5)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
