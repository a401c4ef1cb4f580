"""The manual page: it is what the help says, and groff has nothing to say against it."""

from __future__ import annotations

import re
import shutil
import subprocess

from libcni.cli.manual import _escaped, manual_page
from libcni.cli.root import _VERBS, verb_groups
from tests.contract.modules import ROOT

PAGE = ROOT / "docs" / "cnitool.1"


def test_page_is_what_the_help_gives() -> None:
    assert PAGE.read_text(encoding="utf-8") == manual_page(), "run python -m libcni.cli.manual docs/cnitool.1"


def test_page_has_every_verb_and_the_variables() -> None:
    text = manual_page().replace("\\-", "-")
    for verb in _VERBS:
        assert re.search(rf"^\.SS cnitool {verb} ", text, re.MULTILINE)
    assert ".SS cnitool networks create " in text
    assert {verb for verbs in verb_groups().values() for verb in verbs} == set(_VERBS)
    for name in ("CNI_ARGS", "CAP_ARGS", "NETCONFPATH", "CNI_PATH", "CNI_IFNAME"):
        assert name in text


def test_text_that_looks_like_a_request_is_none() -> None:
    assert _escaped(".conf") == "\\&.conf"
    assert _escaped("a\\b") == "a\\eb"


def test_page_can_be_typeset() -> None:
    if shutil.which("groff") is None:
        return
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", str(PAGE)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "cnitool" in done.stdout
