"""Linting files and directories: reading each file once, and letting every check look at it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.config.fields import LIST_AS_PLUGIN, PLUGIN_AS_LIST
from libcni.config.load import ALL_EXTENSIONS, DROP_IN_EXTENSIONS, LIST_EXTENSIONS, conf_files, read_conf
from libcni.config.manifest import NO_TEXT, YAML_EXTENSIONS, Embedded, is_configuration
from libcni.errors import ConfigError, InvalidParameterError
from libcni.jsontext.decode import decode_text, parse
from libcni.jsontext.frozen import array_of, is_object, object_of
from libcni.jsontext.scan import DocumentError, format_path, kind_of
from libcni.lint.binaries import Binaries
from libcni.lint.catalog import catalog_of
from libcni.lint.directory import check_together, facts_of
from libcni.lint.extensions import EXPECTED_EXTENSIONS, extension_of, hint_at_extension
from libcni.lint.findings import Findings, Place, Source
from libcni.lint.head import LISTS_ONLY_SINCE, check_form, check_member_versions, check_single, check_versions
from libcni.lint.keys import check_list_keys
from libcni.lint.manifests import EmbeddedSource, embedded_in
from libcni.lint.placed import plugin_at, plugins_of
from libcni.lint.placeholders import check_placeholders
from libcni.lint.plugins import check_addresses, check_chain, check_plugin, check_since
from libcni.protocol.names import network_name_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from libcni.jsontext.scan import JSONObject
    from libcni.lint.catalog import Catalog
    from libcni.lint.directory import NetworkFacts
    from libcni.lint.findings import Finding
    from libcni.lint.placed import PlacedPlugin

__all__ = ["lint_paths"]

VERSION_TIMEOUT = 10.0
"""Seconds that a plugin may take to say which versions it supports."""

_CODES_OF_KINDS = {"syntax": "CNI002", "duplicate": "CNI003", "number": "CNI004", "encoding": "CNI005"} | {
    "placeholder": "CNI315",
    "comma": "CNI002",
}


def lint_paths(
    paths: Iterable[str | PathLike[str]],
    *,
    bin_dirs: Sequence[str] | None = None,
    schema_dirs: Sequence[str | PathLike[str]] = (),
    timeout: float = VERSION_TIMEOUT,
    texts: Mapping[str, bytes] | None = None,
) -> list[Finding]:
    """Return the findings about network configurations, sorted by file and line.

    Files of one directory are also held against each other. Nothing is changed; plugins are only asked their version.

    :param paths: files, and directories of which every configuration file is looked at, drop-ins included.
    :param bin_dirs: plugin directories, in which each plugin must be that is used; ``None`` leaves that out.
    :param schema_dirs: directories with more schemas of plugins, ``<plugin type>.json``; the first one counts.
    :param timeout: seconds that a plugin may take to say which versions it supports.
    :param texts: contents by name that stand in no file, such as what Helm printed: YAML or a single configuration.
    :raises MissingExtraError: if a file is YAML, and PyYAML is not installed.
    :raises InvalidParameterError: if a path does not exist, or a directory of schemas cannot be used.
    :raises OSError: if a directory cannot be read.
    """
    linter = _Linter(catalog_of(schema_dirs), None if bin_dirs is None else Binaries(bin_dirs, timeout))
    loose: dict[Path, list[Path]] = {}
    for path in _existing(paths):
        if path.is_dir():
            linter.lint_directory(path)
        else:
            loose.setdefault(path.parent, []).append(path)
    for files in loose.values():
        linter.lint_files(files)
    for name, data in (texts or {}).items():
        linter.lint_text(Path(name), data)
    return linter.findings.sorted()


def _existing(paths: Iterable[str | PathLike[str]]) -> list[Path]:
    """Return each path once; one that exists and cannot be read becomes a finding later."""
    found: dict[Path, None] = {}
    for path in paths:
        if not os.fspath(path):  # the folder where we are, to pathlib; a variable that is not set, to a shell
            raise InvalidParameterError("paths", "", "is empty")
        try:
            Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            raise InvalidParameterError("paths", str(path), "does not exist") from None
        except ValueError:
            raise InvalidParameterError("paths", str(path), "is no file name") from None
        except OSError:
            pass
        found[Path(path)] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The contents of one directory: networks, files without a usable name, and networks without drop-ins."""

    networks: list[NetworkFacts] = field(default_factory=list["NetworkFacts"])
    nameless: list[Path] = field(default_factory=list[Path])
    inlined_only: set[str] = field(default_factory=set[str])
    is_alone: bool = False
    """Whether there is one file, which cannot conflict with another."""


class _Linter:
    def __init__(self, catalog: Catalog, binaries: Binaries | None) -> None:
        self.catalog = catalog
        self.binaries = binaries
        self.findings = Findings()

    # Files and directories

    def lint_directory(self, directory: Path) -> None:
        seen = _Seen()
        files = conf_files(directory, ALL_EXTENSIONS)
        for path in files:
            self._lint_file(path, seen)
        manifests = [] if files else conf_files(directory, YAML_EXTENSIONS)
        for path in manifests:
            self._lint_manifest(path)
        if not files and not manifests:
            message = "has no configuration file (.conf, .conflist, .json)"
            self.findings.add("CNI508", Place(directory), message)
        check_together(self.findings, seen.networks, directory)
        if not manifests:
            self._check_entries(directory, seen)

    def lint_files(self, files: Sequence[Path]) -> None:
        seen = _Seen(is_alone=len(files) == 1)
        for path in sorted(files, key=lambda path: os.fsencode(path.name)):
            if extension_of(path) in YAML_EXTENSIONS:
                self._lint_manifest(path)
                continue
            if extension_of(path) not in ALL_EXTENSIONS:
                self._report_extension(path, ALL_EXTENSIONS)
            if _is_drop_in(path):
                self._lint_drop_in(path)
            else:
                self._lint_file(path, seen)
        check_together(self.findings, seen.networks)

    def _check_entries(self, directory: Path, seen: _Seen) -> None:
        """Check the other entries beside the configuration files."""
        names = {network.name for network in seen.networks}
        for entry in sorted(directory.iterdir()):
            if entry.is_dir():
                self._check_folder(entry, names, seen)
            elif not entry.name.startswith(".") and extension_of(entry) not in EXPECTED_EXTENSIONS:
                self._report_extension(entry, ALL_EXTENSIONS)

    def _check_folder(self, folder: Path, names: set[str], seen: _Seen) -> None:
        try:
            drop_ins = conf_files(folder, DROP_IN_EXTENSIONS)
        except OSError:
            return  # a finding where it is the folder of a network
        if folder.name in names:
            for path in conf_files(folder, [name for name in ALL_EXTENSIONS if name not in DROP_IN_EXTENSIONS]):
                self._report_extension(path, DROP_IN_EXTENSIONS)
            if drop_ins and folder.name in seen.inlined_only:
                message = f"network {folder.name!r} sets loadOnlyInlinedPlugins: no file in here is read"
                self.findings.add("CNI505", Place(folder), message)
        # A file that could not be read may be the network that this folder belongs to.
        elif drop_ins and not seen.nameless:
            message = f"no network in {folder.parent} has the name {folder.name!r}: no file in here is read"
            self.findings.add("CNI504", Place(folder), message, hint="name the folder like the network, or remove it")

    def _report_extension(self, path: Path, known: Sequence[str]) -> None:
        message = f"no runtime reads a file with the extension {extension_of(path)!r}"
        hint = hint_at_extension(extension_of(path), known)
        self.findings.add("CNI503", Place(path), message, hint=hint)

    # YAML

    def _lint_manifest(self, path: Path) -> None:
        data = self._bytes(path)
        if data is not None:
            self.lint_text(path, data)

    def lint_text(self, path: Path, data: bytes) -> None:
        """Lint a YAML text with any number of configurations, or the text of one configuration."""
        try:
            text = decode_text(data)
        except DocumentError as error:
            self._report_document(path, data, error)
            return
        if is_configuration(text):  # JSON is YAML, and a configuration has other members than a manifest
            self._lint_embedded(path, Embedded(text, "", '"plugins"' in text, "", text, range(len(text) + 1)))
            return
        for embedded in embedded_in(path, text, self.findings):
            self._lint_embedded(path, embedded)

    def _lint_embedded(self, path: Path, embedded: Embedded) -> None:
        if not embedded.is_text:
            place = EmbeddedSource(path, embedded, None, findings=self.findings).place_at(1, 1, field="")
            self.findings.add(
                "CNI301", place, f"{embedded.place} {NO_TEXT}", hint="write 'config: |' and JSON below it"
            )
            return
        try:
            document = parse(embedded.text)
        except DocumentError as error:
            source = EmbeddedSource(path, embedded, None, findings=self.findings)
            place = source.place_at(error.line or 1, error.column or 1, field=format_path(error.path))
            self.findings.add(_CODES_OF_KINDS[error.kind], place, error.msg, hint=error.hint)
            return
        source = EmbeddedSource(path, embedded, document, findings=self.findings)
        if not is_object(document):
            source.report("CNI301", (), f"expected an object, found {kind_of(document)}")
            return
        check_placeholders(source)
        if "plugins" in document or embedded.is_list_file:
            self._lint_list_of(source, document, default_name=embedded.default_name)
        else:
            self._lint_single(source, document, default_name=embedded.default_name)

    def _lint_list_of(self, source: Source, document: JSONObject, default_name: str) -> None:
        if default_name and "name" not in document:
            source.document = document = {**document, "name": default_name}
        chain = self._lint_list(source, document, _Seen(), has_folder=False)
        check_chain(chain, self.catalog)

    # One file

    def _bytes(self, path: Path) -> bytes | None:
        """Read a file; ``None`` when it has gone, or cannot be read, which is then a finding."""
        try:
            return read_conf(path)
        except FileNotFoundError:
            return None
        except ConfigError as error:
            self.findings.add("CNI001", Place(path), error.msg)
        except OSError as error:
            self.findings.add("CNI001", Place(path), f"cannot be read: {error.strerror}")
        return None

    def _read(self, path: Path) -> Source | None:
        """Read a file; ``None`` when it has gone, or is no JSON object, which is then a finding."""
        data = self._bytes(path)
        if data is None:
            return None
        try:
            source = Source(path, decode_text(data), parse(data), findings=self.findings)
        except DocumentError as error:
            self._report_document(path, data, error)
            return None
        if not is_object(source.document):
            source.report("CNI301", (), f"expected an object, found {kind_of(source.document)}")
            return None
        check_placeholders(source)
        return source

    def _report_document(self, path: Path, data: bytes, error: DocumentError) -> None:
        source = Source(path, data.decode("utf-8", "replace"), None, findings=self.findings)
        place = source.place_at(error.line or 1, error.column or 1, field=format_path(error.path))
        self.findings.add(_CODES_OF_KINDS[error.kind], place, error.msg, hint=error.hint)

    def _lint_file(self, path: Path, seen: _Seen) -> None:
        source = self._read(path)
        if source is not None and {"apiVersion", "kind"} <= set(object_of(source.document)):
            self.lint_text(path, source.text.encode())
            return
        document = object_of(source.document) if source is not None else {}
        name = document.get("name")
        if source is None or not isinstance(name, str) or network_name_problem(name) is not None:
            seen.nameless.append(path)
        if source is None:
            return
        is_list = self._check_shape(source, document)
        chain = self._lint_list(source, document, seen) if is_list else self._lint_single(source, document)
        check_chain(chain, self.catalog)
        if isinstance(name, str) and path not in seen.nameless:
            place = source.place(("name",))
            members = [] if seen.is_alone else chain
            seen.networks.append(facts_of(name, place, members, is_list=extension_of(path) in LIST_EXTENSIONS))

    def _check_shape(self, source: Source, document: JSONObject) -> bool:
        """Return whether a document is a list, and report one whose extension does not fit."""
        extension = extension_of(source.file)
        if extension in LIST_EXTENSIONS and "type" in document and "plugins" not in document:
            source.report("CNI111", ("type",), PLUGIN_AS_LIST, hint="or put it into 'plugins'", at_key=True)
            return False
        has_list_form = "plugins" in document and "type" not in document
        if extension in {".conf", ".json"} and has_list_form:
            source.report("CNI111", ("plugins",), LIST_AS_PLUGIN, hint="rename it to .conflist", at_key=True)
        return extension in LIST_EXTENSIONS or has_list_form

    def _lint_single(self, source: Source, document: JSONObject, default_name: str = "") -> list[PlacedPlugin]:
        check_form(source, "plugin")
        version = check_versions(source, document, lambda: self._suggested([document], below=LISTS_ONLY_SINCE))
        if not default_name:
            check_single(source, document, version)
        plugin = plugin_at(source, (), document, catalog=self.catalog)
        self._lint_plugin(plugin, version)
        return [plugin]

    def _suggested(self, plugins: Sequence[object], below: str = "") -> str:
        """Return a hint at a version that the plugins of a configuration support."""
        types = {str(object_of(one).get("type")) for one in plugins}
        version = "" if self.binaries is None else self.binaries.newest_of(types, below)
        if version:
            return f'add "cniVersion": "{version}", which the plugins support'
        return f'add "cniVersion": "{"0.4.0" if below else "1.0.0"}"'

    def _lint_list(
        self, source: Source, document: JSONObject, seen: _Seen, *, has_folder: bool = True
    ) -> list[PlacedPlugin]:
        check_form(source, "network")
        check_list_keys(source, document)
        version = check_versions(source, document, lambda: self._suggested(array_of(document.get("plugins"))))
        chain = list(plugins_of(source, self.catalog))
        for plugin in chain:
            self._lint_plugin(plugin, version)
            check_member_versions(source, plugin.path, plugin.written, version=version)
        name = document.get("name")
        if isinstance(name, str) and network_name_problem(name) is None:
            if str(document.get("loadOnlyInlinedPlugins")).lower() == "true":
                seen.inlined_only.add(name)
            elif has_folder:
                chain += self._lint_drop_ins(source, name, version)
        if not chain and "plugins" not in document and not (isinstance(name, str) and name in seen.inlined_only):
            beside = f", and no .conf file in the folder {name!r} beside it" if isinstance(name, str) else ""
            source.report("CNI106", ("plugins",), f"no plugins: none in the list{beside}")
        return chain

    def _lint_drop_ins(self, source: Source, name: str, version: str) -> list[PlacedPlugin]:
        try:
            paths = conf_files(source.file.parent / name, DROP_IN_EXTENSIONS)
        except NotADirectoryError:
            return []
        except OSError as error:
            source.report("CNI001", ("name",), f"the folder with more plugins cannot be read: {error.strerror}")
            return []
        found = [self._lint_drop_in(path, version) for path in paths]
        return [plugin for plugin in found if plugin is not None]

    def _lint_drop_in(self, path: Path, version: str = "") -> PlacedPlugin | None:
        source = self._read(path)
        if source is None:
            return None
        document = object_of(source.document)
        check_form(source, "plugin")
        check_member_versions(source, (), document, version=version)
        plugin = plugin_at(source, (), document, catalog=self.catalog)
        self._lint_plugin(plugin, version)
        return plugin

    def _lint_plugin(self, plugin: PlacedPlugin, version: str) -> None:
        check_plugin(plugin, self.catalog)
        check_addresses(plugin, version)
        if self.binaries is not None:
            self.binaries.check(plugin, version)
        else:
            check_since(plugin, version)


def _is_drop_in(path: Path) -> bool:
    """Return whether a file is in the drop-in folder of a network beside that folder."""
    if extension_of(path) not in DROP_IN_EXTENSIONS:
        return False
    folder = path.absolute().parent
    try:
        candidates = conf_files(folder.parent, LIST_EXTENSIONS)
    except OSError:
        return False
    for candidate in candidates:
        try:
            document = object_of(parse(read_conf(candidate)))
        except (DocumentError, ConfigError, OSError):
            continue
        if document.get("name") == folder.name:
            return True
    return False
