"""The verb demo."""

from __future__ import annotations

import click

from libcni.cli.settings import Settings, pass_settings
from libcni.demo.tour import run_embedded, run_real
from libcni.jsontext.encode import dump

__all__ = ["demo_command"]


@click.command("demo")
@click.option("--real", is_flag=True, help="With a real bridge, as root, and the reference plugins.")
@pass_settings(("bin_dir", "output"))
def demo_command(settings: Settings, *, real: bool) -> None:
    """Add, check and delete two containers, and show every plugin call with what went in and out.

    Needs no root, no network and no plugins: it brings its own, and leaves nothing behind.
    """
    say = _say_nothing if settings.is_json else click.echo
    document = run_real(say, settings.plugin_directories) if real else run_embedded(say)
    if settings.is_json:
        click.echo(dump(document))


def _say_nothing(_line: str) -> None:
    """Take a line that is for people."""
