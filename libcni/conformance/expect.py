"""The failure of a check, and the expectations that many checks share.

Owns :class:`MismatchError`, which is how a check fails: what was expected, what was seen, and which answer it is about.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from libcni import schema
from libcni.errors import CNIError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from libcni.conformance.calls import Answer

__all__ = [
    "BlockedError",
    "MismatchError",
    "NotApplicableError",
    "UnstatedError",
    "error_document",
    "expect",
    "expect_refusal",
    "expect_success",
    "expect_valid",
    "has_code",
    "is_text_alone",
    "listed",
    "result_schema",
    "told",
    "unstated",
]


class MismatchError(CNIError):
    """The plugin does something else than it should."""

    def __init__(self, expected: str, seen: str, answer: Answer | None = None) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen
        self.answer = answer


class BlockedError(MismatchError):
    """Something that the check builds on failed, and is another check's business."""


class UnstatedError(MismatchError):
    """The plugin says in no error object, or in none with a code, what is wrong."""


class NotApplicableError(CNIError):
    """The check makes no sense for this plugin; the message says why."""


def expect(  # noqa: PLR0917 -- it stands in a hundred places, and reads as a sentence
    condition: object, expected: str, seen: object, answer: Answer | None = None
) -> None:
    """Fail with what was expected and seen, unless the condition holds."""
    if not condition:
        raise MismatchError(expected, told(seen), answer)


def told(value: object) -> str:
    """Return a value as a message tells it: text as it is, the rest as JSON.

    >>> told(None), told([1, "a"]), told("x")
    ('nothing', '[1, "a"]', 'x')
    """
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, default=str)


_PRINTING = frozenset({"ADD", "VERSION"})
"""Verbs that have not succeeded unless they print something."""


_SHOWN = 6
"""Changes that a message tells of, one by one."""


def listed(changes: Sequence[str]) -> str:
    """Return changes as one text, cut when there are many.

    >>> listed(["a", "b"])
    'a; b'
    """
    more = len(changes) - _SHOWN
    return "; ".join([*changes[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def expect_success(answer: Answer, when: str = "") -> None:
    """Expect exit status 0 in time, and a document where the verb has one."""
    verb = answer.request.verb
    expected = f"{verb} to succeed{f' {when}' if when else ''}"
    expect(answer.is_success, expected, answer.summary, answer)
    if verb in _PRINTING:
        expect(answer.document is not None, f"{expected} and print its answer", answer.summary, answer)


def expect_refusal(
    answer: Answer, why: str, *, codes: Collection[int] = (), naming: Collection[str] = ()
) -> Mapping[str, Any]:
    """Expect an error, and return its document.

    An exit status other than 0 is an error, whatever was printed, unless the code or the text is looked at. Whether the
    exit status fits the document is the business of one check alone, and not asked here.

    :param codes: one of these has to be in it.
    :param naming: one of these words has to be in its text, in upper or lower case.
    :raises UnstatedError: if the plugin says in no document, or in none with a code, what is wrong.
    """
    _expect_refused(answer, why)
    document = error_document(answer)
    if not codes and not naming:
        return document or {}
    if document is None:
        raise UnstatedError("an error object on standard output", unstated(answer), answer)
    if codes:
        if not has_code(document):
            raise UnstatedError("an error object with a numeric code", answer.summary, answer)
        wanted = " or ".join(map(str, sorted(codes)))
        expect(document["code"] in codes, f"error code {wanted}, as {why}", answer.summary, answer)
    text = f"{document.get('msg', '')} {document.get('details', '')}".lower()
    if naming:
        if not text.strip():
            raise UnstatedError("an error object with a text", answer.summary, answer)
        found = any(word.lower() in text for word in naming)
        expect(found, f"an error whose text names {' or '.join(naming)}", answer.summary, answer)
    return document


def _expect_refused(answer: Answer, why: str) -> None:
    if is_text_alone(answer):
        raise UnstatedError(f"an error, as {why}", unstated(answer), answer)
    is_ended = answer.output.exit_status is not None and not answer.output.timed_out
    is_error = error_document(answer) is not None or (is_ended and not answer.is_success)
    seen = "success" if answer.is_success else answer.summary
    expect(is_error, f"an error, as {why}", f"{seen}, with {answer.request_in_short}", answer)


def has_code(document: Mapping[str, Any]) -> bool:
    """Return whether an error has a code that is a number."""
    code = document.get("code")
    return isinstance(code, int) and not isinstance(code, bool)


def is_text_alone(answer: Answer) -> bool:
    """Return whether a plugin tells of an error on standard error alone, and exits with 0."""
    output = answer.output
    return output.exit_status == 0 and not output.stdout.strip() and bool(output.stderr.strip())


def unstated(answer: Answer) -> str:
    """Return where an error was told of, if not in an error object on standard output."""
    printed = answer.stdout.strip()
    text = " ".join(answer.output.stderr.decode("utf-8", "replace").split())[:200]
    said = f"on standard output: {printed[:200]}" if printed else "nothing on standard output"
    return f"exit status {answer.output.exit_status}, {said}" + (f"; on standard error: {text}" if text else "")


def error_document(answer: Answer) -> Mapping[str, Any] | None:
    """Return the error that a plugin printed, complete or not; ``None`` if it printed none."""
    document = answer.document
    return document if document is not None and ("code" in document or "msg" in document) else None


_SCHEMAS = {"0.1.0": "result-0.2", "0.2.0": "result-0.2", "1.0.0": "result-1.0", "1.1.0": "result-1.1"}


def result_schema(version: str) -> str:
    """Return the name of the schema of results of a version.

    >>> result_schema("0.4.0")
    'result-0.4'
    """
    return _SCHEMAS.get(version, "result-0.4")


def expect_valid(name: str, document: object, answer: Answer) -> None:
    """Expect that a schema accepts a document."""
    problems = schema.validate(name, document)
    expect(not problems, f"a document that the schema {name} accepts", "; ".join(map(str, problems[:5])), answer)
