"""Immutable decoded JSON: dicts and lists that refuse every change, and compare and pickle as the builtin ones do."""

from __future__ import annotations

from typing import Any, NoReturn, TypeGuard

__all__ = ["FrozenDict", "FrozenList", "array_of", "freeze", "is_array", "is_object", "object_of", "thaw"]


def _frozen(*_args: object, **_kwargs: object) -> NoReturn:
    raise TypeError("this is immutable; make a copy with copy.deepcopy() or dict()")


class FrozenDict(dict[str, Any]):
    """An immutable JSON object that compares equal to a plain dict."""

    __slots__ = ()
    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _frozen

    def __hash__(self) -> int:  # type: ignore[override]  # immutable, unlike its base
        return hash(frozenset(self.items()))

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, _memo: object) -> dict[str, Any]:
        return {key: thaw(value) for key, value in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class FrozenList(list[Any]):
    """An immutable JSON array that compares equal to a plain list."""

    __slots__ = ()
    __setitem__ = __delitem__ = append = clear = extend = insert = pop = remove = reverse = sort = _frozen
    __iadd__ = __imul__ = _frozen

    def __hash__(self) -> int:  # type: ignore[override]  # immutable, unlike its base
        return hash(tuple(self))

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, _memo: object) -> list[Any]:
        return [thaw(value) for value in self]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a decoded value is a JSON object, whose keys are always text."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Return whether a decoded value is a JSON array."""
    return isinstance(value, list)


def _is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)


def freeze(value: Any) -> Any:
    """Return a deeply immutable copy of a JSON value; tuples become arrays."""
    if is_object(value):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if is_array(value):
        return FrozenList([freeze(item) for item in value])
    if _is_tuple(value):
        return FrozenList([freeze(item) for item in value])
    return value


def thaw(value: Any) -> Any:
    """Return a deep copy of a JSON value made of plain dicts and lists."""
    if is_object(value):
        return {key: thaw(item) for key, item in value.items()}
    if is_array(value):
        return [thaw(item) for item in value]
    return value


def object_of(value: object) -> dict[str, Any]:
    """Return a decoded value when it is an object, else an empty one."""
    return value if is_object(value) else {}


def array_of(value: object) -> list[Any]:
    """Return a decoded value when it is an array, else an empty one."""
    return value if is_array(value) else []
