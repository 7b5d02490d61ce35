"""`syncer serve`, `syncer report` and `syncer mcp`: the history for a browser, as one file, and for agents."""

import os
import sys
from datetime import datetime
from pathlib import Path
from threading import Event

import click

from syncer.cli.app import App, now
from syncer.cli.output import print_line
from syncer.cli.times import MOMENT


@click.command("serve")
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:8470", show_default=True, help="Where; port 0 takes a free one."
)
@click.option("--public", is_flag=True, help="Everybody who reaches it may read it, without a token.")
@click.option("--host", "hosts", metavar="NAME", multiple=True, help="A further name under which it may be asked.")
@click.pass_obj
def serve_command(app: App, *, listen: str, public: bool, hosts: tuple[str, ...]) -> None:
    """Serve pages, a JSON API, feeds and a mirror of each source; it needs the extra `web`, and only reads.

    On this machine anybody may look. To listen elsewhere it wants a token in SYNCER_WEB_TOKEN (sent as a Bearer token,
    or as the password of any user), or --public.

    \b
    Example:
      syncer serve --listen 127.0.0.1:8470
    """
    from syncer.settings import read_web_token
    from syncer.web.server import serve

    app.start_logging()
    stopping = Event()
    with serve(
        app.service.existing_database(),
        app.settings,
        listen,
        clock=now,
        token=read_web_token(os.environ),
        public=public,
        hosts=hosts,
    ) as served:
        print_line(f"{served.url}/", out=sys.stdout)
        sys.stdout.flush()
        stopping.wait()


@click.command("report")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file; replaced whole."
)
@click.option("--since", type=MOMENT, default="30d", show_default=True, metavar="T", help="Whose changes count.")
@click.option("--models", metavar="GLOB", help="Only sections for models of such names.")
@click.option(
    "--limit", type=click.IntRange(0, 5000), default=500, show_default=True, help="Models with a section at most."
)
@click.pass_obj
def report_command(app: App, *, output: Path, since: datetime, models: str | None, limit: int) -> None:
    """Write the pages into one HTML file that needs no server and no network; it needs the extra `web`.

    It has the overview, the whole catalog, the changes since T, and a section for each model that changed since then.

    \b
    Example:
      syncer report -o report.html --since 7d
    """
    from syncer.exports import whole_file
    from syncer.web.query import Query
    from syncer.web.report import Wanted, report
    from syncer.web.server import read_only
    from syncer.web.site import Site

    site = Site(read_only(app.service.existing_database()), app.settings, clock=now)
    with site.reading() as connection:
        visit = site.visit(connection, Query((), now()), "/")
        text = report(visit, Wanted(since=since, models=models, limit=limit))
    with whole_file(output) as file:
        file.write_text(text, "utf-8")


@click.command("mcp")
@click.pass_obj
def mcp_command(app: App) -> None:
    """Answer an agent's questions over stdio, by the Model Context Protocol; it needs the extra `mcp`, and only reads.

    Tools: price_at, price_periods, changes_since, offers and freshness.

    \b
    Example (an agent starts it; below, its configuration):
      syncer mcp
      {"mcpServers": {"syncer": {"command": "syncer", "args": ["--config", "/etc/syncer.toml", "mcp"]}}}
    """
    from importlib.util import find_spec

    from syncer.core.words import how_to_install
    from syncer.errors import UsageError

    if find_spec("mcp") is None:
        raise UsageError(f"answering agents needs mcp: {how_to_install('mcp')}")

    from syncer.web.agents import server
    from syncer.web.server import read_only
    from syncer.web.site import Site

    app.start_logging()
    site = Site(read_only(app.service.existing_database()), app.settings, clock=now)
    server(site).run("stdio")
