"""Placeholders of templates that nobody filled in, such as ``${X}``, ``{{X}}``, ``__X__``, ``<X>`` and CHANGEME."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcni.jsontext.frozen import is_array, is_object
from libcni.lint.keys import is_comment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.jsontext.scan import Path
    from libcni.lint.findings import Source

__all__ = ["check_placeholders", "placeholder_in"]

# What stands within brackets is short, so that a text of many opening ones is read once.
_PLACEHOLDER = re.compile(
    r"\$\{[^{}\s][^{}]{0,200}\}|\$\([A-Za-z_]\w*\)|\{\{[^{}]{0,200}\}\}"
    r"|(?<!\w)__[A-Za-z][A-Za-z0-9]*(?:_+[A-Za-z0-9]+)*__(?!\w)"
    r"|<[A-Za-z_][\w .-]{0,200}>|%(?![0-9A-Fa-f]{2}%)[A-Za-z_]\w*%|\{%[^{}]{0,200}%\}"
    r"|(?<!\w)@@?[A-Z][A-Z0-9_]*@@?(?!\w)"
    r"|(?<![\w$])\$[A-Z][A-Z0-9_]+|\A\$[A-Za-z_]\w*\Z|\Ax(?:\.x){3}(?:/\d+)?\Z"
    r"|\A(?i:change[_-]?me|replace[_-]?me|todo|tbd|fixme)\Z",
)


_SIGNS = ("$", "%", "@", "<", "{{", "{%", "__", "x.x.x", "change", "replace", "todo", "tbd", "fixme")
"""Signs and words, in lower case, of which a text with a placeholder has one."""


def placeholder_in(text: str) -> str:
    """Return the first placeholder in a text, or ``""``.

    >>> placeholder_in("${SUBNET}/24"), placeholder_in("10.1.0.0/24")
    ('${SUBNET}', '')
    """
    found = _PLACEHOLDER.search(text)
    return found.group() if found else ""


def check_placeholders(source: Source) -> None:
    """Report each text and key with a placeholder; other findings about that text are then left out."""
    lower = source.text.lower()
    if not any(sign in lower for sign in _SIGNS):
        return
    for path, text, is_key in _texts(source.document, ()):
        found = placeholder_in(text)
        if found:
            hint = "put the value in its place; the template was not rendered"
            source.report("CNI315", path, f"the placeholder {found} was left in", hint=hint, at_key=is_key)
            source.leave_out(path)


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str, bool]]:
    if isinstance(value, str):
        yield path, value, False
    elif is_array(value):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))
    elif is_object(value):
        for key, member in value.items():
            if not re.match(r"_|\$\w", key):  # comments, and an editor's $schema
                yield (*path, key), key, True
            if not is_comment(key):
                yield from _texts(member, (*path, key))
