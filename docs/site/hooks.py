"""Hooks of MkDocs: pages made from docstrings, schemas, README and changelog; links that leave the pages."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

from docs.site import schema_pages, tool_page

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

MOVED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "schemas": "reference/schemas.md",
    "schemas/cnitool": "reference/cnitool-json.md",
    "docs/examples": "examples/README.md",
}
"""Where the site has what lies elsewhere in the repository."""

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(#[^)]*)?\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
FOREIGN_RESOURCE = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=.?https?:|<link\b[^>]*(?:stylesheet|preload|icon)[^>]*https?:"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here, and the schemas as files."""
    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    for schema in sorted((ROOT / "schemas").rglob("*.json")):
        path = schema.relative_to(ROOT).as_posix()
        files.append(File.generated(config, path, abs_src_path=str(schema)))
    return files


def generated_pages() -> dict[str, str]:
    """Return the text of each page that is not in ``docs``."""
    pages = {
        "index.md": from_top((ROOT / "README.md").read_text(encoding="utf-8")),
        "changelog.md": from_top((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")),
        "reference/cnitool.md": tool_page.page(),
        "reference/cnitool-json.md": schema_pages.tool_page(),
        "reference/configuration.md": schema_pages.configuration_page(),
        "reference/schemas.md": schema_pages.list_page(),
    }
    for name, text in schema_pages.plugin_pages().items():
        pages[f"reference/plugins/{name}.md"] = text
    for module, what in public_modules():
        pages[f"reference/python/{module}.md"] = f"# {module}: {what}\n\n::: {module}\n"
    return pages


def public_modules() -> list[tuple[str, str]]:
    """Return each public module and what is in it, as the page about stability has them."""
    text = (ROOT / "docs" / "reference" / "stability.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(libcni[\w.]*)` \| (.+) \|$", text, re.MULTILINE)


def from_top(text: str) -> str:
    """Return a page of the top folder as one of ``docs``."""
    return LINK.sub(lambda match: f"[{match[1]}]({target_from_top(match[2])}{match[3] or ''})", text)


def target_from_top(target: str) -> str:
    if "://" in target:
        return target
    return MOVED.get(target.rstrip("/"), target.removeprefix("docs/"))


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Rewrite the links of a page that leave the folder ``docs``, outside of its blocks of code."""
    folder = PurePosixPath("docs") / PurePosixPath(page.file.src_uri).parent
    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else with_links(part, folder) for part in parts)


def with_links(text: str, folder: PurePosixPath) -> str:
    def moved(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target:
            return match[0]
        whole = normpath(str(folder / target))
        if whole in MOVED:
            return f"[{label}]({relpath('docs/' + MOVED[whole], str(folder))}{anchor})"
        return match[0] if whole.startswith("docs/") else label

    return LINK.sub(moved, text)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Refuse a page that loads something from elsewhere."""
    if found := FOREIGN_RESOURCE.search(output):
        raise ValueError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output
