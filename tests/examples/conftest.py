"""The example programs run in a host network namespace that belongs to the tests."""

from __future__ import annotations

from tests.support import kernel


def pytest_collection_modifyitems() -> None:
    """Leave the machine's network before the first test starts a thread that would stay in it."""
    if kernel.missing_requirement() is None:
        kernel.enter_own_host()
