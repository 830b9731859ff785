"""`ratelimit console`: serves the analyst's pages, on this machine alone unless told otherwise."""

from __future__ import annotations

import os
import secrets
from importlib.util import find_spec
from ipaddress import ip_address

import click

from ratelimit.cli.failure import DEPLOYMENT, USAGE, Failure
from ratelimit.cli.loading import load_to_act
from ratelimit.cli.terminal import Text, err, note, say
from ratelimit.environment.console_token import CONSOLE_TOKEN, LEAST_TOKEN
from ratelimit.environment.extras import how_to_install


@click.command("console")
@click.argument("policy", type=click.Path())
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on; loopback by default."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8430, show_default=True, help="The port; 0 for any."
)
def console_command(policy: str, host: str, port: int) -> None:
    """Serve the console: pages with hosts, limits, callers, actors and their evidence, and acts on them.

    It shows the address to open, with a token. Whoever has that may look and act, as the user that this
    command runs as. The variable RATELIMIT_CONSOLE_TOKEN sets a token that lasts.

    \b
    Examples:
      ratelimit console policy.toml
      ratelimit console policy.toml --port 9000

    An application may mount it instead, with its own authentication: `console_app` of `ratelimit.console`.
    Exit code 4 if the address cannot be had.
    """
    for package in ("uvicorn", "jinja2"):
        if find_spec(package) is None:
            hint = f"Install it: {how_to_install(package)}"
            raise Failure(f"the console needs {package}", USAGE, hint=hint)
    import uvicorn

    from ratelimit.console import console_app

    load_to_act(policy)
    token = os.environ.get(CONSOLE_TOKEN, "") or secrets.token_urlsafe(24)
    if len(token) < LEAST_TOKEN:
        raise Failure(f"{CONSOLE_TOKEN} has {LEAST_TOKEN} characters or more", USAGE)
    config = uvicorn.Config(
        console_app(policy, token=token),
        host=host,
        port=port,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,  # pages that stay open do not hold it up
        lifespan="off",
    )
    try:
        listening = config.bind_socket()
    except (OSError, SystemExit) as error:
        raise Failure(f"{host}:{port} cannot be listened on", DEPLOYMENT) from error
    with listening:
        at = f"[{host}]" if ":" in host else host
        say(err(), Text(f"http://{at}:{listening.getsockname()[1]}/enter?token={token}"))
        if not _is_loopback(host):
            note("Others can reach this address. Without TLS before it, they can read the token on its way.")
        uvicorn.Server(config).run([listening])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
