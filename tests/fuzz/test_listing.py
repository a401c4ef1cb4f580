"""A listing in one pass of pydantic's core says of every file what the models say of it one by one."""

from __future__ import annotations

import base64
import json
import os
import random
from typing import TYPE_CHECKING

from libcni import cache as module
from libcni.cache import Damaged
from libcni.protocol.glance import glance
from libcni.quick import IN_PYTHON, quick
from libcni.store import Store
from tests.fuzz.conftest import LINES
from tests.fuzz.mutation import mutate
from tests.fuzz.targets import CACHE_FILE, OLD_RESULT, RESULT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from libcni.attachment import NetworkAttachment
    from libcni.cache import Contents

EXECUTIONS = int(os.environ.get("LIBCNI_MUTATIONS", "1500"))

PLAIN = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24", "gateway": "10.0.0.1", "interface": 0}]}
DUAL = {"cniVersion": "1.1.0", "ips": [{"address": "fd00::2/64", "gateway": "fd00::1"}], "routes": [{"dst": "::/0"}]}
NO_ARGS: dict[str, object] = {
    name: value for name, value in CACHE_FILE.items() if name not in {"cniArgs", "capabilityArgs", "result"}
}
ARGS: dict[str, object] = {
    "cniArgs": [["IgnoreUnknown", "1"], ["K", ""]],
    "capabilityArgs": {"bandwidth": {"rate": 1.5}},
}
RESULTS: list[dict[str, object]] = [{"result": each} for each in (PLAIN, DUAL, OLD_RESULT, RESULT)]
GOOD = [NO_ARGS | args | result for result in (*RESULTS, {}) for args in ({}, ARGS)]


def _damaged(chance: random.Random) -> bytes:
    good = json.dumps(chance.choice(GOOD), separators=chance.choice(((",", ":"), (", ", ": "), (" ,", "\t:\n"))))
    how = chance.random()
    if how < 0.2:
        return good.encode()
    if how < 0.4:  # a member again, somewhere
        member = chance.choice(
            ['"result":{}', '"containerId":"other"', '"ips":[]', '"address":"10.0.0.3/24"', '"mac":1']
        )
        place = chance.choice([at for at, character in enumerate(good) if character == "{"]) + 1
        return f"{good[:place]}{member},{good[place:]}".encode()
    if how < 0.45:  # a name that is none, or not quite ordinary
        name = chance.choice(
            ["interface-name-0", "interface-name-", "", ".", "a b", "ü", "a:b", "-", "../a", "a" * 300]
        )
        return good.replace(chance.choice(['"eth0"', '"c"', '"net"']), json.dumps(name), 1).encode()
    if how < 0.55:  # a number that is none, or not as it reads
        number = chance.choice(["NaN", "-Infinity", "1e999", "1E5", "01", "-", "1.", "0.1", "9" * 20, "-0", "1" * 5000])
        return good.replace("1.5", number).replace(": 0", f": {number}").encode()
    return mutate(good.encode(), chance)


def _read(folder: Path, monkeypatch: pytest.MonkeyPatch, form: object) -> Contents:
    monkeypatch.setattr(module, "quick", form)
    return Store(str(folder), durable=False).cache.scan()


def _told(item: NetworkAttachment | Damaged) -> tuple[object, ...]:
    if isinstance(item, Damaged):
        return item.name, str(item.problem), item.attachment
    return item, repr(item), item.cni_args, repr(item.capability_args), item.key


def test_listing_says_what_the_models_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    results = tmp_path / "results"
    results.mkdir(mode=0o700)
    texts = [_damaged(chance) for _ in range(EXECUTIONS)]
    for number, text in enumerate(texts):
        (results / f"{number:06}").write_bytes(text)
    glanced = 0

    def counted(text: bytes) -> object:
        nonlocal glanced
        members = glance(text)
        glanced += members is not None
        return members

    monkeypatch.setattr(module, "glance", counted)
    one = _read(tmp_path, monkeypatch, quick)
    assert 0 < glanced < EXECUTIONS
    other = _read(tmp_path, monkeypatch, IN_PYTHON)
    for ours, theirs in ((one.attachments, other.attachments), (one.damaged, other.damaged)):
        assert [_told(item) for item in ours] == [_told(item) for item in theirs], f"seed {seed}"
    assert one.attachments
    assert one.damaged
    LINES.append(f"listing: {EXECUTIONS} files, {glanced} of them at a glance, {len(one.damaged)} damaged")


def test_each_good_file_is_read_at_a_glance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results"
    results.mkdir(mode=0o700)
    for number, document in enumerate(GOOD):
        (results / str(number)).write_text(json.dumps(document, separators=(",", ":")))
    monkeypatch.setattr(module.ResultCache, "_read_one", None)
    contents = _read(tmp_path, monkeypatch, quick)
    assert [item.config for item in contents.attachments] == [base64.b64decode(str(CACHE_FILE["config"]))] * len(GOOD)
    assert len({str(item.result) for item in contents.attachments}) == len({str(each.get("result")) for each in GOOD})
