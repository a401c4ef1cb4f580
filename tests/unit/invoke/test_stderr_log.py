"""What a plugin logs: passed on by line, and its end kept."""

from __future__ import annotations

import pytest

from libcni.invoke.process.stderr_log import StderrLog, split_line


def test_stderr_callback_that_raises_is_not_called_again() -> None:
    seen: list[str] = []

    def fail(line: str) -> None:
        seen.append(line)
        raise ValueError(line)

    log = StderrLog(100, fail)
    with pytest.raises(ValueError, match="one"):
        log.feed(b"one\ntwo\n")
    log.feed(b"three\n")
    log.flush()
    assert seen == ["one"]
    assert log.tail == b"one\ntwo\nthree\n"


def test_stderr_keeps_a_bounded_tail() -> None:
    log = StderrLog(10)
    for number in range(1000):
        log.feed(b"%d," % number)
    assert log.tail == b"7,998,999,"


def test_long_line_is_cut_between_characters() -> None:
    text = "a" + "🂡" * 10
    pieces = list(split_line(text.encode(), 9))
    assert b"".join(pieces).decode() == text
    assert all(len(piece) <= 9 and piece.decode() for piece in pieces)
