"""`syncer serve`: the history in a browser, and as an API."""

import os
import sys
from threading import Event

import click

from syncer.cli.app import App, now
from syncer.cli.output import print_line


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
