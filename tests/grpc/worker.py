"""A worker that serves one method behind the interceptor: `python -m tests.grpc.worker POLICY PORT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import grpc

from ratelimit.grpc import RateLimitInterceptor


async def pid(request: bytes, context: Any) -> bytes:
    """Answer with the process."""
    return str(os.getpid()).encode()


async def serve(policy: str, port: str) -> None:
    """Serve until told to end; workers share the port."""
    server = grpc.aio.server(interceptors=[RateLimitInterceptor(policy)])
    methods = {"Pid": grpc.unary_unary_rpc_method_handler(pid)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Worker", methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("ready", flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop(1)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
