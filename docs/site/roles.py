"""Docstrings in reST, for the site: roles become names in the type of code, doctests blocks. An extension of griffe."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")
DOCTEST = re.compile(r"^( *)(>>> .*(?:\n\1\S.*)*)", re.MULTILINE)


def as_markdown(text: str) -> str:
    """Return a docstring as Markdown."""
    text = DOCTEST.sub(r"\1```pycon\n\1\2\n\1```", text)
    return ROLE.sub(r"`\1`", text)


class Roles(Extension):
    """The extension, which griffe calls for each object that it has read."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
