"""The loggers of the library, which load :mod:`logging` when the first line is logged.

To import it takes as long as two plugin calls, and an ordinary operation has nothing to log. Go counterpart: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

__all__ = ["Log", "prepare"]


def _nothing() -> None:
    """Prepare nothing: the default of a library, whose logging is set up by the program."""


class _Preparation:
    """The set-up of logging that a program has asked for, done once, before the first line."""

    def __init__(self) -> None:
        self._pending: Callable[[], None] = _nothing

    def ask_for(self, set_up: Callable[[], None]) -> None:
        self._pending = set_up

    def do(self) -> None:
        pending, self._pending = self._pending, _nothing
        pending()


_preparation = _Preparation()


def prepare(set_up: Callable[[], None]) -> None:
    """Have logging set up when the first line is logged, and not before; a later call replaces an earlier one."""
    _preparation.ask_for(set_up)


class Log:
    """A logger by its name; its lines name the caller as those of a :class:`logging.Logger` do."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, text: str, *values: object) -> None:
        """Log a line at level INFO."""
        self._logger().info(text, *values, stacklevel=2)

    def warning(self, text: str, *values: object) -> None:
        """Log a line at level WARNING."""
        self._logger().warning(text, *values, stacklevel=2)

    def exception(self, text: str, *values: object) -> None:
        """Log a line at level ERROR, with the exception that is being handled."""
        self._logger().exception(text, *values, stacklevel=2)

    def _logger(self) -> logging.Logger:
        import logging  # noqa: PLC0415 -- loaded when there is something to log

        _preparation.do()
        return logging.getLogger(self._name)
