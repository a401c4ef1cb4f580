"""What was made of texts, kept while they are the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from libcni.storage import recent
from libcni.storage.recent import Recent


def test_same_text_gives_what_was_made_of_it() -> None:
    kept: Recent[str] = Recent()
    assert kept.get("a", b"one") is None
    kept.keep("a", b"one", "made of one")
    assert kept.get("a", b"one") == "made of one"
    assert kept.get("a", b"two") is None
    assert kept.get("b", b"one") is None
    kept.keep("a", b"two", "made of two")
    assert (kept.get("a", b"one"), kept.get("a", b"two")) == (None, "made of two")


def test_oldest_goes_first() -> None:
    kept: Recent[int] = Recent()
    for number in range(recent.LIMIT):
        kept.keep(f"{number}", b"", number)
    kept.keep("0", b"", 0)
    kept.keep("new", b"", -1)
    assert [kept.get(name, b"") for name in ("0", "1", "2", "new")] == [0, None, 2, -1]


def test_threads_share_it() -> None:
    kept: Recent[int] = Recent()

    def work(number: int) -> None:
        for each in range(recent.LIMIT):
            name = f"{number} {each}"
            kept.keep(name, b"", each)
            assert kept.get(name, b"") in {each, None}
            kept.keep("shared", b"", each)
            kept.forget("shared")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    kept.forget("shared")
    assert recent.LIMIT - 8 <= len(kept._kept) <= recent.LIMIT
