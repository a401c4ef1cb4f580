"""The sentences of the specification that checks are made of, and those that cannot be checked.

Owns :class:`Sentence` and the reading of ``sentences.toml``. Source: SPEC 1.1.0; RFC 2119 for the levels.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WORDS", "Level", "Sentence", "load_sentences"]


class Level(StrEnum):
    """The level of a requirement, after RFC 2119; a convention is what no sentence of the specification asks for."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"
    CONVENTION = "convention"


WORDS: Mapping[str, Level] = {
    "must": Level.MUST,
    "must not": Level.MUST,
    "required": Level.MUST,
    "step": Level.MUST,
    "defines": Level.MUST,
    "should": Level.SHOULD,
    "should not": Level.SHOULD,
    "says": Level.SHOULD,
    "may": Level.MAY,
    "convention": Level.CONVENTION,
}
"""The level of each word.

Three stand for sentences without a key word: "step" of a procedure of section 3; "defines", what a verb, a parameter or
a member is; and "says" for others."""


@dataclass(frozen=True)
class Sentence:
    """One sentence of the specification, in our words.

    :param word: its key word.
    :param of: whom it binds: ``plugin``, ``runtime``, ``both``, or ``other``.
    :param why: why it cannot be checked, empty if it can.
    """

    id: str
    section: str
    word: str
    of: str
    text: str
    why: str = ""

    @property
    def level(self) -> Level:
        """The level of its word."""
        return WORDS[self.word]


@functools.cache
def load_sentences() -> Mapping[str, Sentence]:
    """Return the sentences by id, in the order of the specification."""
    text = Path(__file__).with_name("sentences.toml").read_text(encoding="utf-8")
    return {name: Sentence(name, **row) for name, row in tomllib.loads(text).items()}
