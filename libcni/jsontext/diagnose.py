"""Diagnosis of a text that is not a strict JSON document: the mistake in words, the place of its cause, and a hint.

Owns the slow walk through a text that :func:`libcni.jsontext.decode.parse` did not take. The walk stops at the first
mistake; what people write by hand, such as comments and single quotes, it knows by name. A message repeats no value,
which may be secret. Source: RFC 8259.
"""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING

from libcni.jsontext.scan import DocumentError, error_at, place_of, scan_string, skip_space

if TYPE_CHECKING:
    from libcni.jsontext.scan import Path

__all__ = ["diagnose"]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER_LIKE = re.compile(r"[-+.0-9][\w.+-]*")
_LEADING_ZERO = re.compile(r"-?0[0-9]+")
_NO_NUMBERS = re.compile(r"-?(?:NaN|Infinity)")
_WORD = re.compile(r"[^\W\d][\w.-]*")
_PLACEHOLDER = re.compile(
    r"\{\{.*?\}\}|\$\{[^}\n]*\}|\$\([^)\n]*\)|__\w+__|<[A-Za-z][^>\n]*>|\$\w+|\{%.*?%\}|%\w+%|@\w+@", re.DOTALL
)
_TEXT_PART = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})')
_TYPOGRAPHIC = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\u2033\u2032\uff02"
_COMMENTS = ("//", "/*", "#", "<!--", "<-", ">>>", "\u2190")
"""Marks of comments and of remarks beside a value."""
_LINE_COMMENTS = (";", "--")
"""Marks of comments that are one only at the beginning of a line."""
_FOREIGN = (
    (re.compile(r"```"), "a fence of Markdown (```)", "remove it"),
    (re.compile(r"[A-Za-z][\w.-]*:(?=\s)"), "looks like YAML, and a configuration is JSON", "begin with '{'"),
    (re.compile(r"(?:sudo|cat|tee|echo) "), "a line of a shell script", "keep what the script writes into the file"),
)
"""The beginnings of files that are no JSON at all."""
_PYTHON = {"True": "true", "False": "false", "None": "null", "nil": "null", "NULL": "null", "undefined": "null"}
_SPELT = _PYTHON | {
    "TRUE": "true",
    "FALSE": "false",
    "Null": "null",
    "yes": "true",
    "no": "false",
    "on": "true",
    "off": "false",
}
_DOUBLE = 'JSON has double quotes: "…"'
_LITERALS = frozenset({"true", "false", "null"})
_CLOSING = {"{": "}", "[": "]"}
_CONTROLS = {"\t": ("a tab", r"\t"), "\n": ("a line break", r"\n"), "\r": ("a line break", r"\r")}


def diagnose(text: str, error: Exception) -> DocumentError:
    """Return the error for ``text``, on which the C scanner gave up: the reason, the place of its cause, and a hint."""
    walk = _Walk(text)
    try:
        walk.foreign()
        end = walk.value(walk.skip(0), ())
        walk.rest(end)
    except DocumentError as found:
        return found
    return DocumentError(f"invalid JSON: {error}")


def _is_finite(number: str) -> bool:
    try:
        return abs(int(number) if number.lstrip("-").isdigit() else float(number)) != math.inf
    except ValueError:  # more digits than Python reads
        return False


def _hint_at_number(text: str) -> str:
    if text[:1] == "+":
        return "write it without the plus sign"
    if text[:2].lower() == "0x":
        return "write it in decimal"
    if _LEADING_ZERO.fullmatch(text):
        return "write it without zeros at its beginning"
    return "write it in double quotes if it is a text"


class _Walk:
    """A walk through a text; each method returns the offset behind what it has read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.open: list[int] = []
        """Offsets of the brackets that are open."""

    def error(
        self, offset: int, message: str, hint: str = "", *, path: Path = (), kind: str = "syntax"
    ) -> DocumentError:
        """Return the error for a place."""
        found = error_at(self.text, offset, message, path=path, kind=kind)
        found.hint = hint
        return found

    def foreign(self) -> None:
        """Refuse a file of another format, whose first characters tell which."""
        start = skip_space(self.text, 0)
        for pattern, message, hint in _FOREIGN:
            if pattern.match(self.text, start):
                raise self.error(start, message, hint)

    def _begins_line(self, position: int) -> bool:
        return not self.text[self.text.rfind("\n", 0, position) + 1 : position].strip()

    def skip(self, position: int) -> int:
        """Skip white space; what other languages have between values is a mistake."""
        position = skip_space(self.text, position)
        for mark in (*_COMMENTS, *(_LINE_COMMENTS if self._begins_line(position) else ())):
            if self.text.startswith(mark, position):
                hint = "remove it, or make it a key that begins with '_'"
                raise self.error(position, f"a comment ({mark}), which JSON does not have", hint)
        if position == len(self.text):
            raise self._ends()
        return position

    def _ends(self) -> DocumentError:
        if not self.open:
            return self.error(len(self.text), "the file ends where a value is expected")
        at = self.open[-1]
        line, column = place_of(self.text, at)
        bracket = self.text[at]
        message = f"the file ends, and the {bracket!r} of line {line}, column {column} has no {_CLOSING[bracket]!r}"
        return self.error(len(self.text.rstrip()), message, "the file may be cut off; add what is missing")

    def rest(self, position: int) -> None:
        """Look at what follows the document."""
        if skip_space(self.text, position) == len(self.text):
            return
        position = self.skip(position)
        if self.text[position] in "}]":
            raise self.error(position, f"one {self.text[position]!r} too many")
        hint = "one file has one document; remove what follows"
        raise self.error(position, "unexpected data after the end of the document", hint)

    def value(self, position: int, path: Path) -> int:
        """Read a value."""
        character = self.text[position]
        if character == "{" and not self.text.startswith(("{{", "{%"), position):
            return self._object(position, path)
        if character == "[":
            return self._array(position, path)
        if character == '"':
            return self._string(position, "text")
        return self._scalar(position, path)

    def _scalar(self, position: int, path: Path) -> int:
        word = _WORD.match(self.text, position)
        if word is not None and word.group() in _LITERALS:
            return word.end()
        if _NO_NUMBERS.match(self.text, position):
            raise self.error(position, "NaN and Infinity are not JSON numbers", path=path, kind="number")
        number = _NUMBER_LIKE.match(self.text, position)
        if number is not None:
            return self._number(number, path)
        raise self._no_value(position, word.group() if word is not None else "")

    def _number(self, match: re.Match[str], path: Path) -> int:
        text, start = match.group(), match.start()
        if _NUMBER.fullmatch(text) is None:
            raise self.error(start, "not a JSON number", _hint_at_number(text), path=path)
        if not _is_finite(text):
            raise self.error(start, "number too large to represent", path=path, kind="number")
        return match.end()

    def _no_value(self, position: int, word: str) -> DocumentError:
        """Return the error for a place where a value should stand, and none does."""
        character = self.text[position]
        placeholder = _PLACEHOLDER.match(self.text, position)
        if placeholder is not None:
            message = f"the placeholder {placeholder.group()[:60]} was left in"
            return self.error(position, message, "put the value in its place", kind="placeholder")
        if word in _SPELT:
            return self.error(position, f"{word!r} is not JSON", f"write {_SPELT[word]}")
        if meant := difflib.get_close_matches(word.lower(), sorted(_LITERALS), 1):
            return self.error(position, f"{word!r} is not JSON", f"did you mean {meant[0]}?")
        if word:
            return self.error(position, "a text without quotes", _DOUBLE)
        if character in ",:}]":
            return self.error(position, f"expected a value, found {character!r}")
        return self._quotes(position)

    def _quotes(self, position: int) -> DocumentError:
        character = self.text[position]
        if character in "'`":
            return self.error(position, "a text in single quotes", _DOUBLE)
        if character in _TYPOGRAPHIC:
            return self.error(position, f"a typographic quote ({character})", 'write the plain quote: "')
        if character.isspace() or not character.isprintable():
            return self.error(
                position, f"the invisible character U+{ord(character):04X}", "remove it, or write a space"
            )
        return self.error(position, f"expected a value, found {character!r}")

    def _string(self, start: int, kind: str) -> int:
        position = start + 1
        while True:
            part = _TEXT_PART.match(self.text, position)
            position = position if part is None else part.end()
            if position == len(self.text):
                raise self.error(start, f"the {kind} that begins here has no closing quote")
            character = self.text[position]
            if character == '"':
                return position + 1
            position = self._special(start, position, kind)

    def _special(self, start: int, position: int, kind: str) -> int:
        escape = _ESCAPE.match(self.text, position)
        if escape is not None:
            return escape.end()
        character = self.text[position]
        if character == "\\":
            found = self.text[position : position + 2]
            raise self.error(position, f"{found} is no escape of JSON", r"a backslash is written as \\")
        name, written = _CONTROLS.get(
            character, (f"the control character U+{ord(character):04X}", f"\\u{ord(character):04x}")
        )
        if character in "\n\r":
            self._refuse_typographic(start, position)
            raise self.error(start, f"the {kind} that begins here has no closing quote on its line")
        raise self.error(position, f"{name} in a {kind}", f"write {written}")

    def _refuse_typographic(self, start: int, end: int) -> None:
        """Name a typographic quote in a text without an end, which it was meant to be."""
        for at in range(start, end):
            if self.text[at] in _TYPOGRAPHIC:
                raise self._quotes(at)

    def _object(self, start: int, path: Path) -> int:
        self.open.append(start)
        seen: set[str] = set()
        position = self._first(start)
        while self.text[position] != "}":
            key_at = position
            key, position = self._key(position)
            if key in seen:
                raise self.error(key_at, f"duplicate key {key!r}", path=(*path, key), kind="duplicate")
            seen.add(key)
            end = self.value(self._colon(position), (*path, key))
            position = self._next(end, "}")
        self.open.pop()
        return position + 1

    def _first(self, start: int) -> int:
        """Return the offset behind an opening bracket and white space."""
        position = self.skip(start + 1)
        if self.text[position] == ",":
            raise self.error(position, "a comma too many", "remove the comma")
        return position

    def _array(self, start: int, path: Path) -> int:
        self.open.append(start)
        position = self._first(start)
        index = 0
        while self.text[position] != "]":
            end = self.value(position, (*path, index))
            position = self._next(end, "]")
            index += 1
        self.open.pop()
        return position + 1

    def _key(self, position: int) -> tuple[str, int]:
        if self.text[position] == '"':
            end = self._string(position, "key")
            return scan_string(self.text, position + 1)[0], end
        word = _WORD.match(self.text, position)
        placeholder = _PLACEHOLDER.match(self.text, position)
        if placeholder is not None:
            raise self._no_value(position, "")
        if word is not None:
            raise self.error(position, "a key without quotes", _DOUBLE)
        character = self.text[position]
        if character in "'`" or character in _TYPOGRAPHIC or not character.isprintable():
            raise self._quotes(position)
        raise self.error(position, f"expected a key in double quotes, found {character!r}")

    def _colon(self, position: int) -> int:
        behind = self.skip(position)
        if self.text[behind] != ":":
            hint = "JSON has ':' between key and value"
            if self.text[behind] in "=;\uff1a":
                raise self.error(behind, f"{self.text[behind]!r} where ':' belongs", hint)
            raise self.error(position, "a ':' is missing behind the key", hint)
        return self.skip(behind + 1)

    def _next(self, end: int, closing: str) -> int:
        """Go on from the end of a member or item: to the next one, or to the closing bracket."""
        position = self.skip(end)
        character = self.text[position]
        if character == ",":
            behind = self.skip(position + 1)
            if self.text[behind] in "}]":
                raise self.error(position, f"a comma before {self.text[behind]!r}", "remove the comma", kind="comma")
            if self.text[behind] == ",":
                raise self.error(behind, "a comma too many", "remove the comma")
            return behind
        if character == closing:
            return position
        if character in "}]":
            line = place_of(self.text, self.open[-1])[0]
            opened = self.text[self.open[-1]]
            raise self.error(position, f"{character!r} where the {opened!r} of line {line} needs {closing!r}")
        if _PLACEHOLDER.match(self.text, position):
            raise self._no_value(position, "")
        if character in ";\uff0c\u3001":
            raise self.error(position, f"{character!r} where a comma belongs", "values are separated by commas")
        # What is wrong is the end of the value before, not what follows it.
        raise self.error(end, "a comma is missing here", "values are separated by commas")
