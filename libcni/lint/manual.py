"""The page that explains every code, made from the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.lint.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.lint.codes import Code, Example

__all__ = ["manual"]

_HEAD = """\
<!-- Written by `python -m libcni.lint docs/lint.md`; change libcni/lint/codes.toml instead. -->

# What `cnitool lint` finds

Every finding has a code that stays the same. An *error* means that the network does not work, or not as its file says;
a *warning* that it may work and is probably not what was meant. The exit status is 1 when there is an error, and with
`--strict` when there is a warning. For each code there is a configuration that has the mistake, and one that does not.
"""

_GROUPS = {
    "0": "Reading a file",
    "1": "Name, versions and the list",
    "2": "Keys",
    "3": "Values",
    "4": "Plugins and capabilities",
    "5": "Files of one directory",
}


def manual() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_overview(), "", *_sections()])


def _overview() -> Iterator[str]:
    yield "| code | severity | what |"
    yield "| --- | --- | --- |"
    for code in CODES.values():
        yield f"| [{code.code}](#{code.code.lower()}) | {code.severity} | {code.title} |"


def _sections() -> Iterator[str]:
    group = ""
    for code in CODES.values():
        if code.code[3] != group:
            group = code.code[3]
            yield f"## {_GROUPS[group]}\n"
        yield _section(code)


def _section(code: Code) -> str:
    parts = [f"### {code.code}", f"**{code.title}** ({code.severity}).", code.text]
    parts += ["Bad:", *_example(code.bad), "Good:", *_example(code.good)]
    return "\n\n".join(parts) + "\n"


def _example(example: Example) -> Iterator[str]:
    if example.plugins is not None:
        listed = [f"{name} ({', '.join(versions)})" for name, versions in example.plugins.items()]
        yield f"Installed plugins: {'; '.join(listed) or 'none'}."
    for name, text in example.files.items():
        if len(example.files) > 1 or not name.endswith("example.conflist"):
            yield f"`{name}`:"
        yield f"```json\n{_visible(text).strip()}\n```" if text else "(a named pipe)"


def _visible(text: str) -> str:
    return text.replace("\ufeff", "\\uFEFF")
