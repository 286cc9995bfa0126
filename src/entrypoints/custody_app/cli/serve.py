"""`custody serve`: the HTTP facade, until it is told to stop."""

from __future__ import annotations

import importlib.util
import os
import tempfile

import click

from custody_app.cli.opening import settings_now
from custody_app.config import ConfigurationError, require_chains
from custody_app.loading import loading

WORKERS = 2
THREADS = 8


@click.command("serve")
@click.option("--host", metavar="ADDRESS", help="where to listen; CUSTODY_HOST, or 127.0.0.1")
@click.option("--port", type=click.IntRange(0, 65535), help="on which port; CUSTODY_PORT, or 8000")
@click.option("--workers", type=click.IntRange(1, 64), default=WORKERS, show_default=True, help="processes that answer")
@click.option(
    "--threads", type=click.IntRange(1, 64), default=THREADS, show_default=True, help="requests that each answers at once"
)
def command(host: str | None, port: int | None, workers: int, threads: int) -> None:
    """Answer HTTP requests. This process reads no key file, and can neither make nor open a key.

    Writes one JSON line on stderr for each request. Ends on SIGTERM or Ctrl-C, when running requests are answered, within ten
    seconds.
    """
    if importlib.util.find_spec("gunicorn") is None or importlib.util.find_spec("flask") is None:
        raise ConfigurationError("the HTTP facade is not installed; install custody-core[http]")
    settings = require_chains(settings_now())
    with tempfile.TemporaryDirectory(prefix="custody-metrics-") as folder:
        # The metrics library looks for the folder that worker processes share once, when it is imported.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        with loading():
            from custody_app.web import Listen, serve  # noqa: PLC0415 - see above; and it needs what has just been looked for

        port = settings.port if port is None else port
        serve(settings, Listen(host=host or settings.host, port=port, workers=workers, threads=threads))
