"""The targets of the fuzzer under plain random mutation: a bounded part of it that every run of the tests has."""

from __future__ import annotations

import os
import random

import pytest

from tests.fuzz.conftest import LINES
from tests.fuzz.mutation import mutate
from tests.fuzz.targets import TARGETS, run, seeds

EXECUTIONS = int(os.environ.get("LIBCNI_MUTATIONS", "1500"))


@pytest.mark.parametrize("target", TARGETS)
def test_good_documents_are_taken(target: str) -> None:
    # The error that is among the answers of a plugin is no result, and is refused as one.
    assert sum(run(target, data) for data in seeds(target)) >= 1


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("target", TARGETS)
def test_mutated_documents_raise_nothing_but_the_librarys_errors(target: str) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    good = seeds(target)
    taken = refused = 0
    for _ in range(EXECUTIONS):
        data = mutate(chance.choice(good), chance)
        try:
            taken, refused = (taken + 1, refused) if run(target, data) else (taken, refused + 1)
        except Exception as error:
            error.add_note(f"seed {seed}: {data[:2000]!r}")
            raise
    LINES.append(f"{target}: {taken + refused} mutations, {taken} taken, {refused} refused, 0 untyped errors")
    assert taken + refused == EXECUTIONS > 0
    assert refused > 0


def test_anything_but_an_error_of_the_library_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail."""

    def broken(data: bytes) -> None:
        raise KeyError(data)

    monkeypatch.setitem(dict(TARGETS), "version", broken)
    monkeypatch.setattr("tests.fuzz.targets.TARGETS", {"version": broken})
    with pytest.raises(KeyError):
        run("version", b"")
