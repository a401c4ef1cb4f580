"""The failure of a check, and the expectations that many checks share.

Owns :class:`MismatchError`, which is how a check fails: what was expected, what was seen, and which answer it is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni import schema
from libcni.errors import CNIError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from libcni.conformance.calls import Answer

__all__ = [
    "BlockedError",
    "MismatchError",
    "NotApplicableError",
    "error_document",
    "expect",
    "expect_refusal",
    "expect_success",
    "expect_valid",
    "result_schema",
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


class NotApplicableError(CNIError):
    """The check makes no sense for this plugin; the message says why."""


def expect(  # noqa: PLR0917 -- it stands in a hundred places, and reads as a sentence
    condition: object, expected: str, seen: object, answer: Answer | None = None
) -> None:
    """Fail with what was expected and seen, unless the condition holds."""
    if not condition:
        raise MismatchError(expected, seen if isinstance(seen, str) else repr(seen), answer)


_PRINTING = frozenset({"ADD", "VERSION"})
"""Verbs that have not succeeded unless they print something."""


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
    """Expect an error document, and return it.

    Whether the exit status says so too is the business of one check alone, and not asked here.

    :param codes: one of these has to be in it.
    :param naming: one of these words has to be in its text, in upper or lower case.
    """
    document = error_document(answer)
    if document is None:
        seen = "success" if answer.is_success else f"no error document: {answer.summary}"
        raise MismatchError(f"an error, as {why}", seen, answer)
    if codes:
        listed = " or ".join(map(str, sorted(codes)))
        expect(document["code"] in codes, f"error code {listed}, as {why}", f"{answer.summary}", answer)
    text = f"{document.get('msg', '')} {document.get('details', '')}".lower()
    if naming:
        found = any(word.lower() in text for word in naming)
        expect(found, f"an error whose text names {' or '.join(naming)}", answer.summary, answer)
    return document


def error_document(answer: Answer) -> Mapping[str, Any] | None:
    """Return the error that a plugin printed, ``None`` if it printed none."""
    document = answer.document
    return document if document is not None and "code" in document else None


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
