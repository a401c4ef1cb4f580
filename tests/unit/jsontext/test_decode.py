"""Strict JSON: every mistake with its place, exact texts, values that cannot change."""

from __future__ import annotations

import copy
import json
import pickle
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from libcni.jsontext.decode import MAX_DEPTH, decode_text, parse, parse_object
from libcni.jsontext.diagnose import diagnose
from libcni.jsontext.encode import canonical, dump, join_object
from libcni.jsontext.frozen import FrozenDict, FrozenList, freeze, thaw
from libcni.jsontext.positions import locate
from libcni.jsontext.scan import DocumentError, format_path, kind_of, split_array, split_object
from libcni.protocol.addresses import parse_address, parse_cidr

if TYPE_CHECKING:
    from collections.abc import Callable

MISTAKES: dict[str, tuple[bytes | str, int, int, str, str]] = {
    # name: text, line, column, path, part of the message
    "empty": ("", 1, 1, "", "is empty"),
    "only-space": (" \n\t ", 1, 1, "", "is empty"),
    "truncated-object": ('{"name": "a"', 1, 13, "", "the file ends, and the '{' of line 1"),
    "truncated-value": ('{\n  "name":', 2, 10, "", "the file ends, and the '{' of line 1"),
    "truncated-string": ('{"name": "a', 1, 10, "", "no closing quote"),
    "duplicate-key": ('{"a": 1,\n "a": 2}', 2, 2, "a", "duplicate key 'a'"),
    "duplicate-key-escaped": ('{"a": 1, "\\u0061": 2}', 1, 10, "a", "duplicate key 'a'"),
    "duplicate-key-deep": ('{"p": [{}, {"x": {"b": 1, "b": 2}}]}', 1, 27, "p[1].x.b", "duplicate key 'b'"),
    "nan": ('{"a": [1, NaN]}', 1, 11, "a[1]", "NaN and Infinity"),
    "infinity": ('{"a": Infinity}', 1, 7, "a", "NaN and Infinity"),
    "minus-infinity": ('{"a": -Infinity}', 1, 7, "a", "NaN and Infinity"),
    "huge-float": ('{"a": {"b": 1e400}}', 1, 13, "a.b", "number too large"),
    "huge-integer": ('{"a": ' + "9" * 5000 + "}", 1, 7, "a", "number too large"),
    "huge-number-alone": ("-1e999", 1, 1, "", "number too large"),
    "data-after-the-end": ("{} {}", 1, 4, "", "unexpected data after the end"),
    "data-after-the-end-line": ("{}\n\n x", 3, 2, "", "unexpected data after the end"),
    "trailing-comma": ('{"a": 1,}', 1, 8, "", "a comma before '}'"),
    "trailing-comma-in-array": ("[1,]", 1, 3, "", "a comma before ']'"),
    "single-quotes": ("{'a': 1}", 1, 2, "", "single quotes"),
    "comment": ('{"a": 1} // no', 1, 10, "", "a comment (//)"),
    "control-character": ('{"a": "x\ny"}', 1, 7, "", "no closing quote on its line"),
    "bad-escape": ('{"a": "\\x"}', 1, 8, "", "escape"),
    "leading-zero": ('{"a": 01}', 1, 7, "a", "not a JSON number"),
    "leading-plus": ('{"a": +1}', 1, 7, "a", "not a JSON number"),
    "bare-word": ("nope", 1, 1, "", "a text without quotes"),
    "byte-order-mark": ('\ufeff{"a": 1}', 1, 1, "", "byte order mark"),
    "byte-order-mark-bytes": (b'\xef\xbb\xbf{"a": 1}', 1, 1, "", "byte order mark"),
    "invalid-utf-8": (b'{\n "a": "\xff"}', 2, 8, "", "invalid UTF-8 (offset 9)"),
    "cut-utf-8": (b'{"a": "\xc3', 1, 8, "", "invalid UTF-8"),
    "encoded-surrogate": (b'"\xed\xa0\x80"', 1, 2, "", "invalid UTF-8"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), 1, 1, "", "is UTF-16"),
    "utf-16-without-a-mark": ('{"a": "\u20ac"}'.encode("utf-16-be"), 1, 1, "", "is UTF-16"),
    "utf-16-of-ascii": ('{"a": 1}'.encode("utf-16-le"), 1, 1, "", "is UTF-16"),
    "utf-32": ('{"a": 1}'.encode("utf-32"), 1, 1, "", "is UTF-32"),
    "utf-32-without-a-mark": ('{"a": 1}'.encode("utf-32-be"), 1, 1, "", "is UTF-32"),
    "surrogate-in-str": ('"\ud800"', 1, 2, "", "invalid UTF-8"),
    "block-comment": ("[/* no */ 1]", 1, 2, "", "a comment (/*)"),
    "remark-with-an-arrow": ('{"a": 1, <-- no\n "b": 2}', 1, 10, "", "a comment (<-)"),
    "remark-before-a-comma": ('{"a": 1 >>> no\n, "b": 2}', 1, 9, "", "a comment (>>>)"),
    "hash-comment": ('{"a": 1, # no\n "b": 2}', 1, 10, "", "a comment (#)"),
    "typographic-quotes": ("{\u201ca\u201d: 1}", 1, 2, "", "typographic quote"),
    "typographic-value": ('{"a": \u00abx\u00bb}', 1, 7, "", "typographic quote"),
    "python-true": ('{"a": True}', 1, 7, "", "'True' is not JSON"),
    "tab-in-a-text": ('{"a": "x\ty"}', 1, 9, "", "a tab in a text"),
    "control-in-a-text": ('{"a": "x\x01y"}', 1, 9, "", "control character U+0001"),
    "tab-in-a-key": ('{"a\t": 1}', 1, 4, "", "a tab in a key"),
    "missing-comma": ('{"a": 1\n "b": 2}', 1, 8, "", "a comma is missing"),
    "double-comma": ("[1,, 2]", 1, 4, "", "a comma too many"),
    "missing-colon": ('{"a" 1}', 1, 5, "", "a ':' is missing"),
    "equals-sign": ('{"a" = 1}', 1, 6, "", "'=' where ':' belongs"),
    "wide-colon": ('{"a"\uff1a 1}', 1, 5, "", "'\uff1a' where ':' belongs"),
    "wide-comma": ("[1\uff0c 2]", 1, 3, "", "'\uff0c' where a comma belongs"),
    "semicolon": ("[1; 2]", 1, 3, "", "';' where a comma belongs"),
    "leading-comma": ('{, "a": 1}', 1, 2, "", "a comma too many"),
    "comment-of-a-line": ('{\n  -- the name\n "a": 1}', 2, 3, "", "a comment (--)"),
    "template-between-values": ("[1 {{- if .x }}, 2]", 1, 4, "", "the placeholder {{- if .x }}"),
    "template-of-jinja": ("[{% if x %}1]", 1, 2, "", "the placeholder {% if x %}"),
    "closing-quote-of-print": ('{"a": "lab\u201d,\n "b": 1}', 1, 11, "", "a typographic quote"),
    "yaml": ("name: lab\nplugins: []\n", 1, 1, "", "looks like YAML"),
    "shell": ("cat > 10.conf <<EOF\n{}\nEOF", 1, 1, "", "a line of a shell script"),
    "markdown": ("```json\n{}\n```", 1, 1, "", "a fence of Markdown"),
    "mistyped-word": ('{"a": ture}', 1, 7, "", "'ture' is not JSON"),
    "missing-value": ('{"a": , "b": 1}', 1, 7, "", "expected a value, found ','"),
    "key-without-quotes": ("{a: 1}", 1, 2, "", "a key without quotes"),
    "wrong-bracket": ('{"a": [1}', 1, 9, "", "where the '[' of line 1 needs ']'"),
    "bracket-too-many": ('{"a": 1}}', 1, 9, "", "one '}' too many"),
    "windows-path": ('{"a": "c:\\k\\x"}'.replace("\\\\", "\\"), 1, 10, "", "is no escape"),
    "placeholder": ('{"mtu": __MTU__}', 1, 9, "", "the placeholder __MTU__ was left in"),
    "placeholder-of-helm": ('{"mtu": {{ .Values.mtu }}}', 1, 9, "", "the placeholder {{ .Values.mtu }}"),
    "placeholder-for-a-member": ("{${MEMBERS}}", 1, 2, "", "the placeholder ${MEMBERS}"),
    "too-deep": ("[" * 300 + "]" * 300, 1, MAX_DEPTH + 1, "", "more than 200 nested values"),
    "too-deep-objects": ('{"a":' * 5000, 1, MAX_DEPTH * 5 + 1, "", "more than 200 nested values"),
    "non-breaking-space": ('{\u00a0"a": 1}', 1, 2, "", "U+00A0"),
}


@pytest.mark.parametrize(
    ("data", "line", "column", "path", "message"),
    MISTAKES.values(),
    ids=MISTAKES,
)
def test_parse_mistake_is_reported_with_its_place(
    data: bytes | str, line: int, column: int, path: str, message: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(data)
    error = caught.value
    assert message in error.msg
    assert (error.line, error.column, format_path(error.path)) == (line, column, path)
    assert str(error) == f"line {line}, column {column}: {error.msg}"


@pytest.mark.parametrize("data", ["[]", "null", "1", '"a"', "true"])
def test_parse_object_of_something_else_names_what_it_is(data: str) -> None:
    with pytest.raises(DocumentError, match=f"expected a JSON object, found {kind_of(parse(data))}") as caught:
        parse_object(f"\n  {data}")
    assert (caught.value.line, caught.value.column) == (2, 3)


def test_parse_keeps_exact_numbers() -> None:
    text = '{"big": 18446744073709551615, "one": 1.0, "neg": -0.0, "exp": 1E+2}'
    assert parse(text) == {"big": 18446744073709551615, "one": 1.0, "neg": -0.0, "exp": 100.0}
    assert type(parse(text)["one"]) is float


def test_parse_takes_brackets_in_strings_for_what_they_are() -> None:
    text = dump({"a": "[" * 300, "b": '\\"{' * 100})
    assert parse(text)["a"] == "[" * 300


def test_parse_of_greatest_depth_is_allowed() -> None:
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_decode_text_takes_bytes_and_str() -> None:
    assert decode_text("ä") == decode_text("ä".encode()) == decode_text("ä") == "ä"


def test_document_error_without_place_is_its_message() -> None:
    assert str(DocumentError("not JSON")) == "not JSON"


def test_split_object_returns_each_value_as_written() -> None:
    text = ' { "a" : 1.50 , "b":[ 1,2 ] ,"c\\u00e4":{"x": 1e2}, "d": "}," }\n'
    assert split_object(text) == {"a": "1.50", "b": "[ 1,2 ]", "cä": '{"x": 1e2}', "d": '"},"'}
    assert split_object("{}") == split_object("{ }") == {}


def test_split_array_returns_each_item_as_written() -> None:
    assert split_array(' [ 1.50 ,{"a": [ ]},"],", null ] ') == ["1.50", '{"a": [ ]}', '"],"', "null"]
    assert split_array("[]") == []


def test_join_object_is_the_way_back() -> None:
    members = split_object('{"a": 1.50, "\\u00e4\\"": [1e2]}')
    assert split_object(join_object(members.items())) == members


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("name",), (2, 11)),
        (("plugins", 1), (4, 3)),
        (("plugins", 1, "ipam", "type"), (4, 21)),
        (("plugins", 1, "missing"), (4, 3)),
        (("plugins", 7), (3, 14)),
        (("name", "deeper"), (2, 11)),
        (("missing", "deeper"), (1, 1)),
    ],
    ids=str,
)
def test_locate_finds_the_value_or_its_nearest_parent(path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    text = '{\n  "name": "a",\n  "plugins": [{},\n  {"ipam": {"type": 7}}]}'
    assert locate(text, path) == place


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a", 0, 1, "b"), "a[0][1].b"),
        ((0,), "[0]"),
        (("a b",), "['a b']"),
        (("cni.dev/x", "y-z"), "cni.dev/x.y-z"),
        (("", "1a"), "['']['1a']"),
    ],
    ids=str,
)
def test_format_path_is_readable(path: tuple[str | int, ...], text: str) -> None:
    assert format_path(path) == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, "a boolean"), (1, "a number"), (1.5, "a number"), ("", "a string"), ([], "an array"), ({}, "an object")],
    ids=repr,
)
def test_kind_of_names_the_json_type(value: object, kind: str) -> None:
    assert kind_of(value) == kind
    assert kind_of(None) == "null"


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), object(), {1: object()}, b"x", {("a",): 1}],
    ids=["nan", "inf", "object", "object-inside", "bytes", "key"],
)
def test_dump_of_what_json_has_no_form_for_is_an_error(value: object) -> None:
    with pytest.raises(DocumentError, match="not a JSON value"):
        dump(value)


def test_dump_of_endless_value_is_an_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(DocumentError, match="not a JSON value"):
        dump(endless)


def test_dump_is_ascii_and_compact() -> None:
    assert dump({"ä": ["\ud800", 1, 1.0, None, True]}) == '{"\\u00e4":["\\ud800",1,1.0,null,true]}'
    assert dump(freeze({"a": [1, {"b": ()}]})) == '{"a":[1,{"b":[]}]}'


def test_canonical_tells_apart_what_python_does_not() -> None:
    assert len({canonical({"a": value}) for value in (1, 1.0, True)}) == 3
    assert canonical({"a": 1, "b": {"d": 1, "c": 2}}) == canonical({"b": {"c": 2, "d": 1}, "a": 1})


CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda value: value["a"].__setitem__("b", 1),
    "delete": lambda value: value["a"].__delitem__("b"),
    "update": lambda value: value.update(a=1),
    "or": lambda value: value.__ior__({"a": 1}),
    "pop": lambda value: value.pop("a"),
    "popitem": lambda value: value.popitem(),
    "clear": lambda value: value["a"].clear(),
    "setdefault": lambda value: value.setdefault("z", 1),
    "append": lambda value: value["l"].append(1),
    "extend": lambda value: value["l"].extend([1]),
    "set-item": lambda value: value["l"].__setitem__(0, 1),
    "delete-item": lambda value: value["l"].__delitem__(0),
    "insert": lambda value: value["l"].insert(0, 1),
    "remove": lambda value: value["l"].remove(1),
    "reverse": lambda value: value["l"].reverse(),
    "sort": lambda value: value["l"].sort(),
    "add": lambda value: value["l"].__iadd__([1]),
    "multiply": lambda value: value["l"].__imul__(2),
    "pop-item": lambda value: value["l"].pop(),
    "clear-list": lambda value: value["l"].clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_frozen_value_cannot_be_changed(change: Callable[[Any], object]) -> None:
    original = {"a": {"b": 0}, "l": [1, {"c": 2}]}
    frozen = freeze(original)
    with pytest.raises(TypeError, match="immutable"):
        change(frozen)
    assert frozen == original


def test_frozen_value_is_a_copy_that_equals_hashes_and_pickles() -> None:
    original = {"a": {"b": [1, 2]}, "t": (1, 2)}
    frozen = freeze(original)
    original["a"] = {}
    assert frozen == {"a": {"b": [1, 2]}, "t": [1, 2]}
    assert hash(frozen) == hash(freeze({"t": [1, 2], "a": {"b": [1, 2]}}))
    restored = pickle.loads(pickle.dumps(frozen))  # noqa: S301 -- our own
    assert restored == frozen
    assert (type(restored), type(restored["a"]["b"])) == (FrozenDict, FrozenList)


def test_copies_of_frozen_value_are_plain_and_can_be_changed() -> None:
    frozen = freeze({"a": {"b": [{"c": 1}]}})
    for plain in (copy.deepcopy(frozen), thaw(frozen)):
        plain["a"]["b"][0]["c"] = 2
        assert type(plain["a"]["b"]) is list
    shallow = copy.copy(frozen)
    shallow["x"] = 1
    items = copy.copy(frozen["a"]["b"])
    items.append(1)
    deep = copy.deepcopy(frozen["a"]["b"])
    deep[0]["c"] = 3
    assert frozen == {"a": {"b": [{"c": 1}]}}


@pytest.mark.parametrize(
    "text", ["10.1.2.3/24", "10.1.2.3/0", "10.1.2.3/32", "fd00::1/64", "::/0", "::ffff:10.0.0.1/128"]
)
def test_parse_cidr_keeps_host_bits(text: str) -> None:
    assert parse_cidr(text).ip == ip_address(text.partition("/")[0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.1",
        "10.0.0.1/",
        "10.0.0.1/33",
        "10.0.0.1/255.255.255.0",
        "fe80::1%eth0/64",
        "fd00::1/129",
        "10.0.0/24",
        "10.0.0.1/-1",
        "10.0.0.1/+8",
        " 10.0.0.1/8",
        "10.0.0.1/8\n",
        "010.0.0.1/8",
        "1/8",
        "\u0661.0.0.1/8",
        "10.0.0.1/\u0668",
        "/8",
    ],
    ids=ascii,
)
def test_parse_cidr_refuses_what_a_plugin_in_go_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_cidr(text)


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1/8", "fe80::1%eth0", "10.0.0", "1", " 10.0.0.1", "10.0.0.1\n", "x" * 5000]
)
def test_parse_address_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ('{"a": 1,\n }', 1, 8, "a comma before '}'"),
        ("[1, ]", 1, 3, "a comma before ']'"),
    ],
    ids=["object", "array"],
)
def test_trailing_comma_is_told_alike_by_every_python(text: str, line: int, column: int, expected: str) -> None:
    comma = text.index(",")
    newer = json.JSONDecodeError("Illegal trailing comma before end of object", text, comma)
    for error in (diagnose(text, newer), _error_of(text)):
        assert (error.line, error.column) == (line, column)
        assert expected in error.msg


def _error_of(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(text)
    return caught.value
