"""Applying a schema to a document, and saying what is wrong in words.

jsonschema finds the problems; here each gets the path of the field that has to change and a sentence for people.
jsonschema is imported when the first schema is applied, as it costs tens of milliseconds.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any

from libcni.errors import InvalidParameterError
from libcni.jsontext.frozen import is_array, is_object
from libcni.jsontext.scan import format_path, kind_of
from libcni.schema.compiled import UnknownKeywordError, compiled
from libcni.schema.files import load
from libcni.schema.formats import format_checker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

    from libcni.jsontext.scan import Path

__all__ = ["Checker", "SchemaProblem", "checker_of", "validate"]

_NULL = {"type": "null"}
_DEFINITIONS = "#/$defs/"
_ID_PREFIX = "urn:libcni:schema:"
_LONGEST = 500
_SHOWN_VALUES = 12


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """A problem that a schema found: the path of the field, such as ``plugins[1].type``, and why.

    A missing key is named under its own name. ``rule`` is the keyword of JSON Schema that was broken, ``subject`` the
    format or the definition that the value should have followed; ``is_conditional``: another member brings the rule in.
    """

    field: str
    message: str
    path: Path = ()
    rule: str = dataclass_field(default="", compare=False)
    subject: str = dataclass_field(default="", compare=False)
    is_conditional: bool = dataclass_field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Checker:
    """One schema, ready to be applied any number of times.

    :param schema: a JSON Schema of draft 2020-12; it may refer to the schemas of this library by their ``$id``.
    :raises InvalidParameterError: if it is not a valid schema.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        from jsonschema.exceptions import SchemaError

        kind = _validator_class()
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            place = format_path(tuple(error.absolute_path)) or "the document"
            raise InvalidParameterError(
                "schema", schema.get("$id", ""), f"{place}: {error.message[:_LONGEST]}"
            ) from None
        self._schema = schema
        self._definitions: Mapping[str, Any] = schema.get("$defs", {})
        self._validator: Validator = kind(schema, format_checker=format_checker(), registry=_registry())

    @functools.cached_property
    def _is_quickly_valid(self) -> Callable[[Any], bool] | None:
        try:
            return compiled(self._schema, format_checker(), _compiled)
        except UnknownKeywordError:
            return None

    def is_valid(self, document: Any) -> bool:
        """Return whether the schema accepts a decoded document."""
        return next(self._errors(document), None) is None

    def problems(self, document: Any) -> list[SchemaProblem]:
        """Return everything that the schema rejects in a decoded document, in the order of the fields.

        :raises InvalidParameterError: if the schema refers to one that is not there, or to itself without end.
        """
        try:
            if self._is_quickly_valid is not None and self._is_quickly_valid(document):
                return []
        except RecursionError:
            pass  # what is said of it is for jsonschema to find
        found = {problem for error in self._errors(document) for problem in self._problems(error)}
        return sorted(found, key=lambda problem: ([str(step) for step in problem.path], problem.message))

    def _errors(self, document: Any) -> Iterator[ValidationError]:
        from referencing.exceptions import Unresolvable

        try:
            yield from self._validator.iter_errors(document)
        except Unresolvable as error:
            raise InvalidParameterError("schema", error.ref, "is referred to, and there is no such schema") from None
        except RecursionError:
            name = self._schema.get("$id", "")
            raise InvalidParameterError("schema", name, "refers to itself without end") from None

    def _problems(self, error: ValidationError) -> Iterator[SchemaProblem]:
        """Flatten an error: of a value that may be one thing or absent, what is wrong with it as that thing."""
        branches: dict[object, list[ValidationError]] = {}
        for inner in error.context or ():
            if inner.schema != _NULL:
                branches.setdefault(inner.schema_path[0], []).append(inner)
        if not branches:
            yield from self._plain(error)
        elif wanted := _alternatives(error, branches):
            yield self._problem(error, (), message=f"needs one of {', '.join(wanted)}", rule="required")
        else:
            # Of several forms that a value may have, the one that it comes closest to is meant.
            meant = max(branches.values(), key=lambda inner: max(len(item.absolute_path) for item in inner))
            for inner in meant:
                yield from self._problems(inner)

    def _plain(self, error: ValidationError) -> Iterator[SchemaProblem]:
        missing = _missing(error)
        if missing:
            for key in missing:
                yield self._problem(error, (key,), message="is required", rule=str(error.validator))
        elif "propertyNames" in error.absolute_schema_path:
            yield self._problem(error, (str(error.instance),), message=self._sentence(error), rule="propertyNames")
        else:
            yield self._problem(error, (), message=self._sentence(error), rule=str(error.validator))

    def _problem(self, error: ValidationError, below: Path, *, message: str, rule: str) -> SchemaProblem:
        path = (*error.absolute_path, *below)
        is_conditional = bool({"then", "else"} & set(map(str, error.absolute_schema_path)))
        if is_conditional and (keys := _condition(self._schema, list(error.absolute_schema_path))):
            message = f"{message}, because of {', '.join(keys)}"
        return SchemaProblem(format_path(path), message[:_LONGEST], path, rule, self._subject(error), is_conditional)

    def _subject(self, error: ValidationError) -> str:
        schema: Any = error.schema
        if is_object(schema) and str(schema.get("$ref", "")).startswith(_DEFINITIONS):
            return str(schema["$ref"]).removeprefix(_DEFINITIONS)
        if is_object(schema) and "format" in schema:
            return str(schema["format"])
        return next((name for name, found in self._definitions.items() if found == schema), "")

    def _sentence(self, error: ValidationError) -> str:
        if isinstance(error.cause, ValueError):
            return str(error.cause)
        write = _SENTENCES.get(str(error.validator))
        return error.message if write is None else write(error.validator_value, error.instance, error.schema)


def _alternatives(error: ValidationError, branches: Mapping[object, Sequence[ValidationError]]) -> list[str]:
    """Return the keys of which one is missing, when that is what each branch asks for."""
    inner = [item for items in branches.values() for item in items]
    if any(item.validator != "required" or item.absolute_path != error.absolute_path for item in inner):
        return []
    return list(dict.fromkeys(key for item in inner for key in _missing(item)))


def _missing(error: ValidationError) -> list[str]:
    instance: Any = error.instance
    rule: Any = error.validator_value
    if error.validator == "required":
        return [key for key in rule if key not in instance]
    if error.validator == "dependentRequired":
        return sorted({key for name, keys in rule.items() if name in instance for key in keys if key not in instance})
    return []


def _condition(schema: Mapping[str, Any], steps: Sequence[str | int]) -> list[str]:
    """Return the keys that the nearest condition above a rule looks at."""
    keys: list[str] = []
    node: Any = schema
    for step in steps:
        if step in {"then", "else"} and is_object(node) and is_object(node.get("if")):
            # What holds where a condition does not has no key to name.
            keys = list(node["if"].get("required", node["if"].get("properties", {}))) if step == "then" else []
        node = node.get(step) if is_object(node) and isinstance(step, str) else _item(node, step)
    return keys


def _item(node: object, step: str | int) -> object:
    return node[step] if is_array(node) and isinstance(step, int) else None


_TYPES = {"string": "a string", "boolean": "a boolean", "integer": "an integer", "number": "a number"} | {
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def _shown(value: object) -> str:
    text = repr(value)
    return {"True": "true", "False": "false", "None": "null"}.get(text, text if len(text) <= 100 else text[:97] + "...")  # noqa: PLR2004 -- enough of a value to know it by


def _type_sentence(rule: Any, instance: object, _schema: object) -> str:
    # That null is taken for an absent value helps nobody who wrote another one.
    names = [rule] if isinstance(rule, str) else [name for name in rule if name != "null"]
    expected = [_TYPES.get(name, name) for name in names]
    return f"expected {' or '.join(expected)}, found {kind_of(instance)}"


def _enum_sentence(rule: Any, instance: object, _schema: object) -> str:
    values = [_shown(value) for value in rule if value is not None]
    if not values:
        return "must not be set"
    if len(values) == 1:
        return f"must be {values[0]}; found {_shown(instance)}"
    listed = ", ".join(values[:_SHOWN_VALUES]) + (", …" if len(values) > _SHOWN_VALUES else "")
    return f"must be one of {listed}; found {_shown(instance)}"


def _described(schema: Any) -> str:
    """Return the description of a rule as the end of a sentence, or ``""``."""
    return str(schema.get("description", "")).rstrip(".") if is_object(schema) else ""


def _pattern_sentence(_rule: Any, instance: object, schema: Any) -> str:
    if instance == "":
        return "must not be empty"
    described = _described(schema)
    return f"{_shown(instance)} has not the form that is expected" + (f": {described}" if described else "")


def _not_sentence(_rule: Any, _instance: object, schema: Any) -> str:
    described = _described(schema)
    return "is not allowed here" + (f": {described}" if described else "")


def _at_least(several: str) -> Callable[[Any, object, object], str]:
    def sentence(rule: Any, _instance: object, _schema: object) -> str:
        return "must not be empty" if rule == 1 else f"must have at least {rule} {several}"

    return sentence


def _at_most(one: str, several: str) -> Callable[[Any, object, object], str]:
    def sentence(rule: Any, _instance: object, _schema: object) -> str:
        return f"must have at most {rule} {one if rule == 1 else several}" if rule else "must be empty"

    return sentence


def _compared(what: str) -> Callable[[Any, object, object], str]:
    def sentence(rule: Any, instance: object, _schema: object) -> str:
        return f"must be {what} {rule}; found {_shown(instance)}"

    return sentence


_SENTENCES: dict[str, Callable[[Any, Any, Any], str]] = {
    "type": _type_sentence,
    "enum": _enum_sentence,
    "const": lambda rule, instance, _: f"must be {_shown(rule)}; found {_shown(instance)}",
    "pattern": _pattern_sentence,
    "minimum": _compared("at least"),
    "maximum": _compared("at most"),
    "exclusiveMinimum": _compared("greater than"),
    "exclusiveMaximum": _compared("less than"),
    "multipleOf": _compared("a multiple of"),
    "minItems": _at_least("items"),
    "maxItems": _at_most("item", "items"),
    "minLength": _at_least("characters"),
    "maxLength": _at_most("character", "characters"),
    "minProperties": _at_least("members"),
    "maxProperties": _at_most("member", "members"),
    "not": _not_sentence,
    "uniqueItems": lambda _rule, _instance, _schema: "must not hold one item twice",
}


@functools.cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_validator: object, rule: str, instance: object, _schema: object) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not _compiled(rule).search(instance):
            yield ValidationError(f"{instance!r} does not match {rule!r}")

    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    untyped: Any = validators
    return untyped.extend(Draft202012Validator, {"pattern": pattern}, type_checker=checker)


def _is_integer(_checker: object, value: object) -> bool:
    # 1.0 is an integer to JSON Schema, and is none to Go and to the models.
    return isinstance(value, int) and not isinstance(value, bool)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # In the regular expressions of JSON Schema a final "$" is the end of the text; Python's takes a line break too.
    if pattern.endswith("$") and not pattern.endswith(r"\$"):
        pattern = pattern[:-1] + r"\Z"
    return re.compile(pattern)


@functools.cache
def _registry() -> Any:
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    def retrieve(uri: str) -> Any:
        return DRAFT202012.create_resource(load(uri.removeprefix(_ID_PREFIX).replace(":", "/")))

    # attrs gives the parameter another name.
    made: Any = Registry
    return made(retrieve=retrieve)


@functools.cache
def checker_of(name: str) -> Checker:
    """Return the checker of one of the library's schemas.

    :raises InvalidParameterError: if there is no such schema.
    """
    return Checker(load(name))


def validate(name: str, document: Any) -> list[SchemaProblem]:
    """Return everything that a schema rejects in a decoded document, in the order of the fields.

    :raises InvalidParameterError: if there is no such schema.
    """
    return checker_of(name).problems(document)
