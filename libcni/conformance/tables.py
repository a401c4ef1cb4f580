"""Tables of the documentation that are made of data: sentence by sentence what checks it, and the known faults.

Owns :func:`with_tables`. A table stands between two comments of the page, which name it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.conformance.catalogue import load_checks
from libcni.conformance.faults import known_faults
from libcni.conformance.sentences import load_sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from libcni.conformance.catalogue import Check
    from libcni.conformance.sentences import Sentence

__all__ = ["checks_of", "with_tables"]


def checks_of(sentence: Sentence) -> list[Check]:
    """Return the checks that look at a sentence, of plugins and of runtimes."""
    every = (*load_checks(), *load_checks(for_runtimes=True))
    return [check for check in every if sentence.id == check.sentence.id or sentence.id in check.also]


def with_tables(page: str) -> str:
    """Return a page with its tables made anew."""
    for name, make in _TABLES.items():
        begin, end = f"<!-- {name}: written by python -m libcni.conformance -->", f"<!-- end of {name} -->"
        table = "\n".join([begin, "", *make(), "", end])
        before, found, rest = page.partition(begin)
        if found:
            page = before + table + rest.partition(end)[2]
    return page


def _sentences() -> Iterator[str]:
    yield "| section | sentence, in our words | word | of | checks |"
    yield "| --- | --- | --- | --- | --- |"
    for sentence in load_sentences().values():
        checks = ", ".join(f"`{check.id}`" for check in checks_of(sentence))
        cells = (sentence.section, sentence.text, sentence.word, sentence.of, checks or f"not checked: {sentence.why}")
        yield f"| {' | '.join(cells)} |"


def _faults() -> Iterator[str]:
    yield "| check | plugins | cause | what it means |"
    yield "| --- | --- | --- | --- |"
    for fault in known_faults():
        plugins = "all 16" if fault.is_of("all") else ", ".join(f"`{name}`" for name in fault.plugins)
        number = fault.issue.rpartition("/")[2]
        issue = f" ([plugins {number}]({fault.issue}))" if fault.issue else ""
        check = f"`{fault.check}`{', now and then' if fault.is_rare else ''}"
        yield f"| {check} | {plugins} | {fault.cause}{issue} | {fault.effect} |"


_TABLES: Mapping[str, Callable[[], Iterator[str]]] = {"sentences": _sentences, "faults": _faults}
