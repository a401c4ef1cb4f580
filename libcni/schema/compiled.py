"""A quick verdict on documents: a schema compiled into functions.

Most of what is checked is right, and jsonschema needs twenty times as long to say so. It explains what is refused here,
and decides alone on a schema with a keyword that is not known here. Source: JSON Schema draft 2020-12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from libcni.jsontext.frozen import is_array, is_object

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping, Sequence

    from jsonschema import FormatChecker

__all__ = ["UnknownKeywordError", "compiled"]

Check: TypeAlias = "Callable[[Any], bool]"

_ANNOTATIONS = frozenset(
    {"$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "deprecated", "then", "else"}
)
_TYPES: dict[str, Check] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "array": is_array,
    "object": is_object,
    "null": lambda value: value is None,
}


_CLASSES: dict[str, type] = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}


class UnknownKeywordError(Exception):
    """A schema has a keyword that cannot be compiled."""


def compiled(schema: Mapping[str, Any], formats: FormatChecker, pattern: Callable[[str], re.Pattern[str]]) -> Check:
    """Return a function that says whether a decoded document is valid.

    :param pattern: compiles a regular expression of the schema.
    :raises UnknownKeywordError: if the schema has a keyword that is not known here, or a reference to another schema.
    """
    return _Compiler(schema, formats, pattern).check(schema)


def _every(checks: Sequence[Check]) -> Check:
    if len(checks) == 2:  # noqa: PLR2004 -- a type and one rule more, as most have
        first, second = checks
        return lambda value: first(value) and second(value)

    def is_valid(value: Any) -> bool:
        for check in checks:  # noqa: SIM110 -- a generator costs as much as the checks
            if not check(value):
                return False
        return True

    return is_valid


def _some(checks: Sequence[Check]) -> Check:
    def is_valid(value: Any) -> bool:
        for check in checks:  # noqa: SIM110 -- as above
            if check(value):
                return True
        return False

    return is_valid


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


class _Compiler:
    def __init__(
        self, root: Mapping[str, Any], formats: FormatChecker, pattern: Callable[[str], re.Pattern[str]]
    ) -> None:
        self.root = root
        self.formats = formats
        self.pattern = pattern
        self.made: dict[str, Check] = {}

    def check(self, schema: Any) -> Check:
        """Compile a schema."""
        if isinstance(schema, bool):
            return lambda _value: schema
        checks = [made for key, rule in schema.items() if (made := self._keyword(key, rule, schema)) is not None]
        if len(checks) == 1:
            return checks[0]
        return _every(checks)

    def _keyword(self, key: str, rule: Any, schema: Mapping[str, Any]) -> Check | None:
        if key in _ANNOTATIONS or key.startswith("x-"):
            return None
        make = getattr(self, "_" + key.replace("$", "").lower(), None)
        if make is None:
            raise UnknownKeywordError(key)
        found: Check = make(rule, schema) if key in {"if", "additionalProperties"} else make(rule)
        return found

    def _ref(self, rule: str) -> Check:
        name = rule.removeprefix("#/$defs/")
        if name == rule or name not in self.root.get("$defs", {}):
            raise UnknownKeywordError(rule)
        if name not in self.made:
            # A definition may refer to itself: it is looked up again when it is used.
            self.made[name] = lambda _value: False
            self.made[name] = self.check(self.root["$defs"][name])
        return lambda value: self.made[name](value)  # noqa: PLW0108 -- it may be compiled later

    def _type(self, rule: str | list[str]) -> Check:
        if isinstance(rule, str):
            return _TYPES[rule]
        classes = tuple([_CLASSES[name] for name in rule if name in _CLASSES])
        # Numbers are not told by a class alone: true is one of Python's.
        numbers = [_TYPES[name] for name in rule if name not in _CLASSES]
        return lambda value: isinstance(value, classes) or any(check(value) for check in numbers)

    def _enum(self, rule: list[Any]) -> Check:
        return lambda value: any(_equal(one, value) for one in rule)

    def _const(self, rule: Any) -> Check:
        return lambda value: _equal(rule, value)

    def _pattern(self, rule: str) -> Check:
        search = self.pattern(rule).search
        return lambda value: not isinstance(value, str) or search(value) is not None

    def _format(self, rule: str) -> Check:
        if rule not in self.formats.checkers:
            return lambda _value: True
        check = self.formats.checkers[rule][0]

        def is_valid(value: Any) -> bool:
            try:
                return bool(check(value))
            except ValueError:
                return False

        return is_valid

    def _properties(self, rule: Mapping[str, Any]) -> Check:
        members = {key: self.check(member) for key, member in rule.items()}

        def is_valid(value: Any) -> bool:
            if is_object(value):
                for key, member in value.items():
                    check = members.get(key)
                    if check is not None and not check(member):
                        return False
            return True

        return is_valid

    def _required(self, rule: list[str]) -> Check:
        return lambda value: not is_object(value) or all(key in value for key in rule)

    def _dependentrequired(self, rule: Mapping[str, list[str]]) -> Check:
        return lambda value: (
            not is_object(value) or all(key in value for name, keys in rule.items() if name in value for key in keys)
        )

    def _additionalproperties(self, rule: Any, schema: Mapping[str, Any]) -> Check:
        if "patternProperties" in schema:
            raise UnknownKeywordError("patternProperties")
        check, known = self.check(rule), frozenset(schema.get("properties", ()))
        return lambda value: (
            not is_object(value) or all(check(member) for key, member in value.items() if key not in known)
        )

    def _propertynames(self, rule: Any) -> Check:
        check = self.check(rule)
        return lambda value: not is_object(value) or all(check(key) for key in value)

    def _items(self, rule: Any) -> Check:
        check = self.check(rule)
        return lambda value: not is_array(value) or all(check(item) for item in value)

    def _allof(self, rule: list[Any]) -> Check:
        checks = [self.check(one) for one in rule]
        return _every(checks)

    def _anyof(self, rule: list[Any]) -> Check:
        checks = [self.check(one) for one in rule]
        return _some(checks)

    def _not(self, rule: Any) -> Check:
        check = self.check(rule)
        return lambda value: not check(value)

    def _if(self, rule: Any, schema: Mapping[str, Any]) -> Check:
        condition = self.check(rule)
        then, otherwise = (self.check(schema.get(key, True)) for key in ("then", "else"))
        return lambda value: then(value) if condition(value) else otherwise(value)

    def _minimum(self, rule: float) -> Check:
        return lambda value: not _TYPES["number"](value) or value >= rule

    def _maximum(self, rule: float) -> Check:
        return lambda value: not _TYPES["number"](value) or value <= rule

    def _minlength(self, rule: int) -> Check:
        return lambda value: not isinstance(value, str) or len(value) >= rule

    def _maxlength(self, rule: int) -> Check:
        return lambda value: not isinstance(value, str) or len(value) <= rule

    def _minitems(self, rule: int) -> Check:
        return lambda value: not is_array(value) or len(value) >= rule

    def _maxitems(self, rule: int) -> Check:
        return lambda value: not is_array(value) or len(value) <= rule

    def _minproperties(self, rule: int) -> Check:
        return lambda value: not is_object(value) or len(value) >= rule
