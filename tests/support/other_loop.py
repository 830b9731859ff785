"""A plugin for pytest: tests run on uvloop's event loop, which most servers with uvicorn use."""

from __future__ import annotations

import asyncio

import pytest
import uvloop


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """Return the policy that tests get their loops from."""
    return uvloop.EventLoopPolicy()
