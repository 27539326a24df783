"""The documentation as a site, by Sphinx: `make docs` builds it once in each language.

Both builds read the Markdown files of the repository, in place. A page `x.zh-CN.md` is the Chinese version of `x.md`.
"""

import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.search.en import SearchEnglish
from sphinx.util.matching import get_matching_files

ROOT = Path(__file__).parents[2]

NAVIGATION = {
    ("Start", "开始"): ["self", "sandbox/README", "docs/sdks"],
    ("Mini-program", "小程序"): [
        "docs/mini-program",
        "clients/miniprogram/README",
        "examples/miniprogram/README",
        "examples/website/README",
    ],
    ("Verify a token", "验证 token"): ["docs/verify", "examples/gateways/README", "docs/webhooks", "docs/embedding"],
    ("Operate", "运维"): [
        "docs/settings",
        "docs/containers",
        "docs/kubernetes",
        "deploy/helm/wxlogin/README",
        "docs/operations",
        "docs/admin",
        "docs/security",
        "docs/privacy",
        "docs/measurements",
    ],
    ("Reference", "参考"): [
        "docs/reference/interface",
        "docs/errors",
        "docs/wechat-errors",
        "docs/glossary",
        "CHANGELOG",
    ],
    ("Contribute", "参与开发"): ["docs/architecture", "CONTRIBUTING", "SECURITY", "CODE_OF_CONDUCT", "docs/releasing"],
    ("Decisions", "设计决定"): ["docs/decisions/README"],
}
"""The pages below each head, in English and in Chinese. Those that do not exist yet are left out."""

project = html_title = "wxlogin"
root_doc = "README"
include_patterns = ["*.md", "*/README*.md", "*/*/README*.md", "deploy/helm/*/README.md", "docs/**.md"]
exclude_patterns = [".*", "build", "dist", "src", "tests", "benchmarks", "**/node_modules"]
source_suffix = {".zh-CN.md": "markdown", ".md": "markdown"}
extensions = ["myst_parser"]
myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]
smartquotes = False
suppress_warnings = ["misc.highlighting_failure"]  # our examples have `...`

html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}
html_static_path = ["static", "node_modules/@mermaid-js/tiny/dist"]
html_css_files = ["site.css"]
templates_path = ["templates"]
html_additional_pages = {"index": "index.html"}
html_use_index = html_copy_source = html_show_copyright = False


class Mermaid(Directive):
    """A diagram, which the browser draws."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the text of the diagram, where mermaid.tiny.js finds it."""
        text = html.escape("\n".join(self.content))
        return [nodes.raw("", f'<pre class="mermaid">{text}</pre>', format="html")]


class SearchChinese(SearchEnglish):
    """Finds English words, and Chinese words as pairs of characters.

    The index has every pair of neighbours, so a page needs no dictionary. The browser splits the query into words.
    """

    lang = "zh"
    terms = r"([a-zA-Z0-9_]+)|(?=([\u4e00-\u9fff]{2}))"
    js_splitter_code = f"""
        function splitQuery(query) {{
            const words = [...new Intl.Segmenter("zh", {{ granularity: "word" }}).segment(query)];
            const terms = words.flatMap(({{ segment }}) => [...segment.matchAll(/{terms}/g)]);
            return terms.map(([_, word, pair]) => word || pair);
        }}
    """

    def split(self, input: str) -> list[str]:  # noqa: A002 - Sphinx's name
        """Return the terms of a text."""
        return [word or pair for word, pair in re.findall(self.terms, input)]


def choose_versions(app: Sphinx, config: Config) -> None:
    """Leave out the Chinese pages in English, and in Chinese the English pages that have a Chinese version."""
    files = get_matching_files(app.srcdir, config.include_patterns, config.exclude_patterns)
    chinese = [file for file in files if file.endswith(".zh-CN.md")]
    config.exclude_patterns += chinese if config.language == "en" else map(in_english, chinese)


def in_english(file: str) -> str:
    """Return the name of the English version of a page."""
    return file.replace(".zh-CN.md", ".md")


def prepare(app: Sphinx, docname: str, source: list[str]) -> None:
    """Adapt a page, which is written for readers of the repository, to the site."""
    page = Path(app.env.doc2path(docname))
    is_chinese = app.config.language != "en"

    def link(found: re.Match[str]) -> str:
        text, file, _ = found.groups()
        target = (page.parent / file).resolve()
        if target != page and in_english(str(target)) == in_english(str(page)):
            return ""  # the same page in the other language: the template links to it
        if target.is_dir():
            return f"[{text}]({file}/README.md)" if (target / "README.md").exists() else text
        if is_chinese and target.with_suffix(".zh-CN.md").exists():
            return f"[{text}]({file})"  # whose headings have Chinese anchors
        return found[0]

    parts = re.split(r"(^```.*?^```$)", source[0], flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(r"\[([^\]]+)\]\(([^)\s#:]+)(#[^)\s]+)?\)", link, part) for part in parts[::2]]
    source[0] = "".join(parts)
    if is_chinese and page.name == in_english(page.name):
        source[0] = source[0].replace("\n\n", "\n\n*本页没有中文版。*\n\n", 1)
    if docname == root_doc:
        for captions, docs in NAVIGATION.items():
            existing = [doc for doc in docs if doc == "self" or (ROOT / f"{doc}.md").exists()]
            source[0] += toctree(existing, f":caption: {captions[is_chinese]}")
    if docname == "docs/decisions/README":
        source[0] += toctree(["0*", "template"], ":glob:")


def set_anchors(_: Sphinx, doctree: nodes.document) -> None:
    """Link to a heading by the anchor that it has in the repository, Chinese headings too, and not by a number."""
    for section in doctree.findall(nodes.section):
        section["ids"].sort(key=lambda anchor: anchor != section.get("slug"))


def toctree(docs: list[str], option: str) -> str:
    """Return a part of the navigation."""
    return "\n".join(["", "```{toctree}", ":hidden:", option, "", *docs, "```", ""])


def complete(app: Sphinx, pagename: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Give a page the link to its version in the other language, and what draws its diagrams."""
    name, there = ("中文", "zh-CN/") if app.config.language == "en" else ("English", "../")
    context["other_language"] = name
    context["other_url"] = context["content_root"] + there + pagename + ".html"
    if 'class="mermaid"' in context.get("body", ""):
        app.add_js_file("mermaid.tiny.js")


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.add_directive("mermaid", Mermaid)
    app.add_search_language(SearchChinese)
    app.connect("config-inited", choose_versions)
    app.connect("source-read", prepare)
    app.connect("doctree-read", set_anchors, priority=400)  # before Sphinx collects the contents of the page
    app.connect("html-page-context", complete)
