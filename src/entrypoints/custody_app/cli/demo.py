"""`custody demo`: the main job, shown."""

from __future__ import annotations

import click

from custody_app.demo import run_demo


@click.command("demo")
@click.option("--once", is_flag=True, help="end after the job instead of serving on until Ctrl-C")
def command(once: bool) -> None:
    """Show the main job on a local dev chain: two wallets, a deposit, two sends, and books that agree with the chain.

    Everything is made anew in .custody-demo, by the same commands and HTTP requests that you would type; then it serves on until
    Ctrl-C. Ends with an error when anything is not as it should be.
    """
    run_demo(once=once)
