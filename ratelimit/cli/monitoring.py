"""`ratelimit make alerts` and `make dashboard`: what Prometheus and Grafana are given, as it is installed."""

from __future__ import annotations

import sys

import click

from ratelimit.telemetry.files import ALERTS, DASHBOARD, read


@click.command("alerts")
def alerts_command() -> None:
    """Print the alerts for Prometheus.

    docs/runbooks.md has a section for each: what it means, what to look at, what to do.

    \b
    Example:
      ratelimit make alerts > /etc/prometheus/ratelimit.yml
    """
    sys.stdout.write(read(ALERTS))


@click.command("dashboard")
def dashboard_command() -> None:
    """Print the dashboard for Grafana, to be imported there.

    \b
    Example:
      ratelimit make dashboard > ratelimit.json
    """
    sys.stdout.write(read(DASHBOARD))
