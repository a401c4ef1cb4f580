"""Records of the journal, taken out of their slots so that a test can change them."""

from __future__ import annotations

from binascii import crc32
from typing import TYPE_CHECKING, Any

from libcni.document import dump
from libcni.record import PLUGIN_OFFSET
from libcni.steps import finish
from libcni.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from libcni.attachment import AttachmentKey
    from libcni.journal import Journal
    from libcni.record import Record, State

_CHANGING = ("state", "added", "plugin")
_BODY = PLUGIN_OFFSET + 32 + len('","check":"01234567",')


def begin_record(journal: Journal, record: Record) -> bool:
    """Begin an operation, as one that holds the lock."""
    with journal.open(record.key) as opened:
        return finish(opened.beginning(record))


def mark_record(journal: Journal, key: AttachmentKey, state: State) -> bool:
    """Change the state of a record."""
    with journal.open(key) as opened:
        return opened.mark(state)


def remove_record(journal: Journal, key: AttachmentKey) -> None:
    """Remove a record."""
    with journal.open(key) as opened:
        opened.remove()


def record_names(cache_dir: Path) -> list[str]:
    """Return the names of all records, and of what else stands in the folder."""
    if not (cache_dir / "journal").exists():
        return []
    return sorted(name for name, _ in Store(str(cache_dir), durable=False).journal.folder.items())


def as_file(cache_dir: Path, name: str = "net@box@eth0") -> Path:
    """Take a record out of its slot, and into a file of its own, as one that is too large has it."""
    folder = Store(str(cache_dir), durable=False).journal.folder
    data = folder.read(name)
    assert data is not None
    folder.remove(name)
    path = cache_dir / "journal" / name
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def sealed(document: dict[str, Any]) -> bytes:
    """Encode the document of a record, with the check sum that belongs to it."""
    changing = {key: document[key] for key in _CHANGING}
    rest = {key: value for key, value in document.items() if key not in {*_CHANGING, "check"}}
    return with_check_sum(f'{dump(changing)[:-1]},"check":"........",{dump(rest)[1:]}'.encode())


def with_check_sum(data: bytes) -> bytes:
    """Return the text of a record with the check sum that belongs to it."""
    before, marker, after = data.partition(b'"check":"')
    return before + marker + b"%08x" % crc32(data[_BODY:]) + after[8:] if marker else data
