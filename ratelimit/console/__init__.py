"""The console: pages for an analyst without a shell, over what a running deployment knows of its callers.

    from ratelimit.console import console_app

    app.mount("/limits", console_app("policy.toml", user=lambda request: request.session.get("staff")))

It has no logic of its own: `inspection` finds what pages show, and does the acts.
It needs the extra `console`.
"""

from ratelimit.environment.extras import explained

try:
    from ratelimit.console.app import console_app
except ModuleNotFoundError as error:
    raise explained(error, jinja2="jinja2") from error

__all__ = ["console_app"]
