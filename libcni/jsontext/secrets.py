"""Documents without what may be a secret, for the eyes of people and for files that they pass on."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

__all__ = ["HIDDEN", "is_secret", "without_secrets"]

HIDDEN = "(not shown)"

_SECRET = re.compile(r"pass(word|wd|phrase)?$|secret|token|credential|private|api_?key|auth", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Return whether a member or argument of that name may hold a secret.

    >>> is_secret("etcdPassword"), is_secret("K8S_POD_NAME")
    (True, False)
    """
    return _SECRET.search(name) is not None


def without_secrets(value: Any) -> Any:
    """Return a decoded document in which the value of each member that may be a secret is left out.

    >>> without_secrets({"user": "a", "login": [{"token": "b"}]})
    {'user': 'a', 'login': [{'token': '(not shown)'}]}
    """
    if _is_object(value):
        return {name: HIDDEN if is_secret(name) else without_secrets(item) for name, item in value.items()}
    if _is_array(value):
        return [without_secrets(item) for item in value]
    return value


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
