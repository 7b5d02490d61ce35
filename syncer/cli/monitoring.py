"""`syncer monitoring`: what Grafana and Prometheus need to watch `/metrics`."""

import sys
from importlib import resources

import click

from syncer.cli.app import Group
from syncer.cli.output import print_line


@click.group("monitoring", cls=Group)
def monitoring_command() -> None:
    """Print what other programs need to watch the daemon's /metrics."""


@monitoring_command.command("grafana")
def grafana_command() -> None:
    """Print a Grafana dashboard, to be imported as it is; it asks for the Prometheus data source.

    \b
    Example:
      syncer monitoring grafana > syncer.json
    """
    _print("grafana.json")


@monitoring_command.command("alerts")
def alerts_command() -> None:
    """Print Prometheus alert rules, to be named under rule_files as they are.

    \b
    Example:
      syncer monitoring alerts > /etc/prometheus/syncer.yml
    """
    _print("alerts.yml")


def _print(name: str) -> None:
    print_line(resources.files("syncer.monitoring").joinpath(name).read_text("utf-8").rstrip(), out=sys.stdout)
