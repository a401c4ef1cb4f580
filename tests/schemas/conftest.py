"""The tests that run real plugins do so in a network namespace of the test process, like those of tests/real."""

from __future__ import annotations

from tests.support import kernel


def pytest_collection_modifyitems() -> None:
    """Leave the machine's network before the first test starts a thread that would stay in it."""
    if kernel.missing_requirement() is None:
        kernel.enter_own_host()
