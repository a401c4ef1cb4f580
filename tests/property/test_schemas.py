"""Model and schema of each generated document give the same verdict, on whatever document.

Each example is a document that is valid by construction, copies of it with mutations, and one made of anything. The
number of documents is that of a quick run; LIBCNI_SCHEMA_DOCUMENTS asks for more, and ``tox -e schemas-full`` for
10,000 of each schema.
"""

from __future__ import annotations

import base64
import copy
import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from libcni import schema
from libcni.protocol.documents.core_schemas import Validated, validated
from libcni.schema.check import checker_of
from libcni.schema.documents import model_of
from libcni.schema.validators import validators

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTS = int(os.environ.get("LIBCNI_SCHEMA_DOCUMENTS", "48"))
MUTATIONS = 6
PER_EXAMPLE = MUTATIONS + 2

ADDRESSES = ["10.1.0.5", "0.0.0.0", "255.255.255.255", "fd00::1", "::", "::ffff:10.0.0.1", "2001:db8::"]  # noqa: S104 -- it stands in documents, and nothing is bound to it
BY_FORMAT = {
    "cni-cidr": ["10.1.0.5/16", "0.0.0.0/0", "fd00::5/64", "::/0", "10.0.0.1/32"],
    "cni-subnet": ["10.1.0.0/16", "0.0.0.0/0", "fd00::/64", "10.0.0.1/32"],
    "cni-ip": ADDRESSES,
    "cni-gateway": ["", *ADDRESSES],
    "cni-address": [*ADDRESSES, "10.1.0.5/16", "fd00::5/64"],
    "cni-hardware-address": ["0a:58:0a:01:00:05", "0A-58-0A-01-00-05", "80" + ":01" * 19],
}
# Texts near the border between right and wrong, for every rule that a text can have.
TEXTS = sorted(
    {text for texts in BY_FORMAT.values() for text in texts}
    | {"", " ", "\n", "0", "1.0", "1.0.0", "0.4.0", "1.1.0", "01.1.0", "1.1.0\n", "1.1.0.0", "2.0.0", "0.1.0", "0.3.1"}
    | {
        "10.1.0.5/33",
        "10.1.0.5/016",
        "10.1.0.5/",
        "10.1.0.5/255.0.0.0",
        "10.1.0",
        "010.1.0.5",
        "10.1.0.5/16\n",
        "fd00::g",
    }
    | {"fe80::1%eth0", "fd00::/129", "\u0660.0.0.0", "1\u0660.0.0.0/8", "::1/128", "10.1.0.5 /16"}
    | {"true", "TRUE", "False", "falsE", "yes", "true\n", "\u017f", "K", "tcp", "UDP", "sctp", "tcp\n", "icmp"}
    | {"lab", "-lab", "lab\n", "l/ab", "..", ".", "läb", "a\\b", "a\0b", "bridge", "0a:58", "0a:58:0a:01:00:05\n"}
    | {
        "0a:58:0a:01:00:05:00:01",
        "YQ==",
        "YQ=",
        "YQ",
        "Y Q==",
        "YQ==\n",
        "é",
        "4",
        "6",
        "cniCacheV1",
        "cniCacheV2",
        "a" * 300,
    }
)
NUMBERS = [
    0,
    1,
    -1,
    255,
    65535,
    65536,
    2**32 - 1,
    2**32,
    2**35 - 8,
    2**35,
    2**63,
    2**64,
    10**30,
    0.0,
    1.0,
    1.5,
    -0.5,
    1e300,
]

SCALARS = st.one_of(
    st.none(), st.booleans(), st.sampled_from(NUMBERS), st.integers(), st.sampled_from(TEXTS), st.text(max_size=8)
)


def _keys(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_keys, node))
    if not isinstance(node, dict):
        return set()
    return set(node.get("properties", {})).union(*map(_keys, node.values()))


def _anything(keys: list[str]) -> st.SearchStrategy[Any]:
    names = st.one_of(st.sampled_from(keys), st.text(max_size=3)) if keys else st.text(max_size=3)
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
        max_leaves=8,
    )


class Valid:
    """Makes documents that a schema accepts, by walking it."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root

    def value(self, node: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
        if "$ref" in node:
            return self.value(self.root["$defs"][node["$ref"].removeprefix("#/$defs/")], depth)
        if "anyOf" in node:
            return st.one_of([self.value(branch, depth) for branch in node["anyOf"]])
        if "enum" in node or "const" in node:
            return st.sampled_from(node.get("enum", [node.get("const")]))
        kinds = node.get("type", "any")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        return st.one_of([getattr(self, f"_{kind}")(node, depth) for kind in kinds])

    def _any(self, _node: dict[str, Any], _depth: int) -> st.SearchStrategy[Any]:
        return _anything([])

    def _null(self, _node: dict[str, Any], _depth: int) -> st.SearchStrategy[Any]:
        return st.none()

    def _boolean(self, _node: dict[str, Any], _depth: int) -> st.SearchStrategy[Any]:
        return st.booleans()

    def _integer(self, node: dict[str, Any], _depth: int) -> st.SearchStrategy[Any]:
        return st.integers(node.get("minimum"), node.get("maximum"))

    def _string(self, node: dict[str, Any], _depth: int) -> st.SearchStrategy[Any]:
        if node.get("format") == "cni-base64":
            return st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode())
        if "format" in node:
            return st.sampled_from(BY_FORMAT[node["format"]])
        if "pattern" in node:
            return st.from_regex(node["pattern"].replace(r"$(?!\n)", r"\Z"), fullmatch=False).filter(_is_text)
        return st.text(min_size=node.get("minLength", 0), max_size=12)

    def _array(self, node: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        least = node.get("minItems", 0)
        return st.lists(
            self.value(node.get("items", {}), depth + 1), min_size=least, max_size=min(node.get("maxItems", 3), 3)
        )

    def _object(self, node: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        members = {key: self.value(member, depth + 1) for key, member in node.get("properties", {}).items()}
        required = set(node.get("required", ()))
        if "then" in node:
            required |= set(node["then"]["required"])
        known = st.fixed_dictionaries(
            {key: member for key, member in members.items() if key in required},
            optional={key: member for key, member in members.items() if key not in required},
        )
        extra = node.get("additionalProperties", True)
        values = self.value(extra, depth + 1) if isinstance(extra, dict) else SCALARS
        return st.tuples(st.dictionaries(st.text(max_size=4).map("+".__add__), values, max_size=1), known).map(
            lambda pair: pair[0] | pair[1]
        )


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every container of a document with each of its keys."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in members for place in [(value, key), *_places(item)]]


def _mutated(draw: st.DrawFn, document: Any, keys: list[str], anything: st.SearchStrategy[Any]) -> Any:
    document = copy.deepcopy(document)
    places = _places(document)
    if not places:
        return draw(anything)
    container, key = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(["replace", "scalar", "delete", "add", "double"]))
    if kind == "delete":
        del container[key]
    elif kind == "add" and isinstance(container, dict) and keys:
        container[draw(st.sampled_from(keys))] = draw(anything)
    elif kind == "double" and isinstance(container, list):
        container.append(container[key])
    else:
        container[key] = draw(SCALARS if kind == "scalar" else anything)
    return document


def _documents(name: str) -> st.SearchStrategy[list[Any]]:
    root = schema.load(name)
    keys = sorted(_keys(root))
    valid, anything = Valid(root).value(root), _anything(keys)

    @st.composite
    def documents(draw: st.DrawFn) -> list[Any]:
        first = draw(valid)
        found = [first]
        for _ in range(MUTATIONS):
            # Each mutation starts from the valid document or from the one before: one mistake, or several.
            found.append(_mutated(draw, draw(st.sampled_from([first, found[-1]])), keys, anything))
        return [*found, draw(anything)]

    return documents()


def _said_by(check: Callable[[Any], Any], document: Any) -> Any:
    """Return what a document is to a model: its members, or a list of the problems."""
    try:
        return _members_of(check(document))
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False)


def _members_of(value: Any) -> Any:
    if isinstance(value, list):
        return [_members_of(each) for each in value]
    if not isinstance(value, (BaseModel, Validated)):
        return value
    members = {name: _members_of(getattr(value, name)) for name in type(value).model_fields}
    return type(value).__name__, members, value.model_extra


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", schema.generated_names())
def test_model_and_schema_give_the_same_verdict(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    model, checker = model_of(name), checker_of(name)
    seen = {True: 0, False: 0}

    def check(document: Any, *, is_valid: bool | None = None) -> None:
        # What a model gets was read from a text.
        document = json.loads(json.dumps(document))
        said = _said_by(model.model_validate, document)
        accepted = not isinstance(said, list)
        if model.__name__ in validators():
            assert _said_by(partial(validated, model.__name__), document) == said
        seen[accepted] += 1
        assert checker.is_valid(document) == accepted, [str(problem) for problem in checker.problems(document)]
        assert bool(checker.problems(document)) != accepted
        assert is_valid is None or accepted == is_valid

    @settings(
        max_examples=-(-DOCUMENTS // PER_EXAMPLE),
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(documents=_documents(name))
    def run(documents: list[Any]) -> None:
        check(documents[0], is_valid=True)
        for document in documents[1:]:
            check(document)

    run()
    with capsys.disabled():
        print(f"\n{name}: {sum(seen.values())} documents, {seen[True]} of them valid")  # noqa: T201 -- the numbers are what this test shows
    assert sum(seen.values()) >= DOCUMENTS
    assert min(seen.values()) > 0
