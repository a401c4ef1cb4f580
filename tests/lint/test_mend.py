"""``lint --fix`` and ``--diff``: what is unambiguous is put right, and all else stays byte for byte."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from libcni.cli.root import cnitool
from libcni.lint import lint_paths, mend_paths

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = """{ "cniVersion":"1.0.0",\r
\t"name": "lab",   "DisableCheck": true,
  "plugins": [
    {"type": "bridge", "bridge": "lab0", "isgateway": true,
     "ipam": {"type": "host-local", "ranges": [{"Subnet": "10.1.0.7/24"},  {"subnet": "fd00::/64"}], },
    },
  ]
}"""
AFTER = """{ "cniVersion":"1.0.0",\r
\t"name": "lab",   "disableCheck": true,
  "plugins": [
    {"type": "bridge", "bridge": "lab0", "isGateway": true,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}],  [{"subnet": "fd00::/64"}]] }
    }
  ]
}"""


def _write(directory: Path, text: str, name: str = "10-lab.conflist") -> Path:
    path = directory / name
    path.write_bytes(text.encode())
    return path


def test_fix_mends_what_is_unambiguous_and_keeps_the_rest(tmp_path: Path) -> None:
    path = _write(tmp_path, BEFORE)
    path.chmod(0o640)
    _write(tmp_path, AFTER, "99-same.conflist.bak")
    done = CliRunner().invoke(cnitool, ["lint", "--no-plugins", "--fix", str(path)])
    assert (path.read_bytes().decode(), done.exit_code) == (AFTER, 0), done.output
    assert path.stat().st_mode & 0o777 == 0o640
    assert '-\t"name": "lab",   "DisableCheck": true,' in done.output
    assert done.output.endswith("no findings\n")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["10-lab.conflist", "99-same.conflist.bak"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_mended_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "10-a.conflist"
    path.write_text('{"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "bridge"},]}')
    os.chown(path, 1234, 5678)
    for mended in mend_paths([path]):
        mended.write()
    assert "},]" not in path.read_text()
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)


def test_host_bits_of_an_ipv4_route_are_mended_and_those_of_ipv6_stay(tmp_path: Path) -> None:
    text = AFTER.replace(
        '"ipam": {', '"ipam": {"routes": [{"dst": "10.2.0.5/16"}, {"dst": "fd00::1/64"}, {"dst": "x"}], '
    )
    path = _write(tmp_path, text)
    assert [one.after for one in mend_paths([path])] == [text.replace("10.2.0.5/16", "10.2.0.0/16")]


def test_diff_changes_nothing(tmp_path: Path) -> None:
    path = _write(tmp_path, BEFORE)
    done = CliRunner().invoke(cnitool, ["lint", "--diff", str(tmp_path)])
    assert (path.read_bytes().decode(), done.exit_code) == (BEFORE, 1)
    assert '+     "ipam": {"type": "host-local", "ranges": [[{' in done.output
    path.write_bytes(AFTER.encode())
    done = CliRunner().invoke(cnitool, ["lint", "--diff", str(tmp_path)])
    assert (done.output, done.exit_code) == ("", 0)


def test_list_in_a_conf_file_gets_its_extension(tmp_path: Path) -> None:
    path = _write(tmp_path, AFTER, "10-lab.conf")
    done = CliRunner().invoke(cnitool, ["lint", "--no-plugins", "--fix", "--format", "json", str(path)])
    assert (done.stdout, [one.name for one in tmp_path.iterdir()]) == ("[]\n", ["10-lab.conflist"])
    assert "rename to" in done.stderr


def test_list_is_not_renamed_over_another_file(tmp_path: Path) -> None:
    _write(tmp_path, AFTER)
    _write(tmp_path, AFTER, "10-lab.conf")
    assert mend_paths([tmp_path]) == []


@pytest.mark.parametrize(
    "ipam",
    [
        '"ranges": [{"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}]',
        '"ranges": [{"subnet": "x"}]',
        '"ranges": [[{"subnet": "10.1.0.0/24"}]]',
        '"subnet": "10.1.0.0/24", "Subnet": "10.2.0.0/24"',
        '"subnet": "ten"',
    ],
)
def test_what_is_ambiguous_stays(ipam: str, tmp_path: Path) -> None:
    text = '{"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "ptp", "ipam": {"type": "host-local", %s}}]}'
    _write(tmp_path, text % ipam)
    assert mend_paths([tmp_path]) == []


@pytest.mark.parametrize("text", ["{\"name\": 'a',}", "", "[1,]", "{"])
def test_file_that_cannot_be_mended_is_left_alone(text: str, tmp_path: Path) -> None:
    path = _write(tmp_path, text)
    assert [one.after for one in mend_paths([path])] == (["[1]"] if text == "[1,]" else [])


def test_single_plugin_is_mended(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        '{"name": "a", "type": "vlan", "vlanid": 5, "ipam": {"type": "host-local", "SUBNET": "10.1.0.0/8"}}',
        "a.conf",
    )
    [one] = mend_paths([path])
    assert '"vlanId": 5' in one.after
    assert '"subnet": "10.0.0.0/8"' in one.after


def test_mended_file_has_no_such_finding(tmp_path: Path) -> None:
    path = _write(tmp_path, BEFORE)
    for one in mend_paths([path]):
        one.write()
    assert lint_paths([path]) == []


def test_many_commas_too_many_are_mended_at_once_and_a_comma_in_a_text_or_without_a_value_stays(tmp_path: Path) -> None:
    body = ", ".join('{"dst": "10.0.0.0/8" , }' for _ in range(2000))
    text = AFTER.replace('"ipam": {', f'"note": ",]", "ipam": {{"routes": [{body},],')
    path = _write(tmp_path, text)
    mended = text.replace('"10.0.0.0/8" , }', '"10.0.0.0/8"  }').replace("},],", "}],")
    assert [one.after for one in mend_paths([path])] == [mended]
    for broken in ("[,]", '[{"type": "ptp"},,]'):
        path = _write(tmp_path, f'{{"cniVersion": "1.0.0", "name": "lab", "plugins": {broken}, }}')
        assert mend_paths([path]) == []


def test_files_in_the_folder_of_a_network_are_mended_and_keep_their_extension(tmp_path: Path) -> None:
    _write(tmp_path, '{"cniVersion": "1.0.0", "name": "lab", "plugins": [{"type": "ptp"}], }')
    for folder in ("lab", "other"):
        (tmp_path / folder).mkdir()
        _write(tmp_path / folder, '{"type": "tuning", "Mtu": 1400}', "10-tuning.conf")
    _write(tmp_path, "{", "20-broken.conflist")
    _write(tmp_path, f'{{"cniVersion": "1.0.0", "name": "{"x" * 300}", "plugins": []}}', "30-long.conflist")
    assert [(one.path.parent.name, one.after) for one in mend_paths([tmp_path])] == [
        (tmp_path.name, '{"cniVersion": "1.0.0", "name": "lab", "plugins": [{"type": "ptp"}] }'),
        ("lab", '{"type": "tuning", "mtu": 1400}'),
    ]


def test_link_stays_one_and_its_file_is_mended(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    real = _write(tmp_path / "data", BEFORE)
    link = tmp_path / "10-lab.conflist"
    link.symlink_to("data/10-lab.conflist")
    for one in mend_paths([link]):
        one.write()
    assert link.is_symlink()
    assert real.read_bytes().decode() == AFTER
