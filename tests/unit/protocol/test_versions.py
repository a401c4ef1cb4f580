"""Versions: what is one, how they compare, which is taken."""

from __future__ import annotations

import pytest

from libcni import CURRENT_VERSION, SUPPORTED_VERSIONS, IncompatibleVersionError, VersionError
from libcni.protocol.versions import check_supported, is_at_least, newest_supported, parse_version


def test_supported_versions_are_the_released_ones_in_order() -> None:
    assert SUPPORTED_VERSIONS == ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
    assert SUPPORTED_VERSIONS[-1] == CURRENT_VERSION


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1",
        "1.0",
        "1.0.0.0",
        "v1.0.0",
        "1.0.0\n",
        " 1.0.0",
        "1.0.x",
        "1.0.-1",
        "1_0.0.0",
        "01.0.0",
        "1.0.0-rc1",
        "\u0661.0.0",
    ],
)
def test_parse_version_of_something_else_is_refused(version: str) -> None:
    with pytest.raises(VersionError, match=r"expected major\.minor\.patch"):
        parse_version(version)


def test_parse_version_of_very_long_number_is_refused_with_a_short_text() -> None:
    with pytest.raises(VersionError) as caught:
        parse_version("1" * 5000 + ".0.0")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
def test_check_supported_takes_every_released_version(version: str) -> None:
    check_supported(version)


@pytest.mark.parametrize("version", ["0.0.1", "0.5.0", "1.0.1", "1.2.0", "2.0.0"])
def test_check_supported_of_unknown_version_is_incompatible(version: str) -> None:
    with pytest.raises(IncompatibleVersionError, match="is not supported"):
        check_supported(version)


def test_versions_compare_as_numbers() -> None:
    assert is_at_least("0.10.0", "0.9.0")
    assert is_at_least("1.0.0", "1.0.0")
    assert not is_at_least("0.4.0", "1.0.0")


@pytest.mark.parametrize(
    ("versions", "newest"),
    [([], None), (["2.0.0"], None), (["0.4.0", "1.1.0", "1.0.0"], "1.1.0"), (["0.3.1", "9.9.9"], "0.3.1")],
    ids=["none", "unknown", "highest", "higher-ignored"],
)
def test_newest_supported_is_the_highest_that_is_known(versions: list[str], newest: str | None) -> None:
    assert newest_supported(versions) == newest
