"""The verb demo."""

from __future__ import annotations

import click

from libcni.cli.settings import Settings, pass_settings
from libcni.demo.tour import run_embedded, run_real

__all__ = ["demo_command"]


@click.command("demo")
@click.option("--real", is_flag=True, help="With a real bridge, as root, and the reference plugins.")
@pass_settings(("bin_dir",))
def demo_command(settings: Settings, *, real: bool) -> None:
    """Add, check and delete two containers, and show every plugin call with what went in and out.

    Needs no root, no network and no plugins: it brings its own, and leaves nothing behind.
    """
    if settings.is_json:
        raise click.UsageError("a demo is for people: it has no JSON form")
    if real:
        run_real(click.echo, settings.plugin_directories)
    else:
        run_embedded(click.echo)
