"""The documentation site, `make docs`: the Markdown files of the repository as they lie there.

Its root is the repository's, so that every relative link works in both. What the site has beyond
the files is made in `pages.py`: the navigation, the settings and the reference.
"""

import re
import shutil
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from pygments.lexers.sql import PostgresLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import pages  # noqa: E402 - found by the line above

project = "faceplate"
copyright = "the authors of faceplate"  # noqa: A001 - Sphinx's name
version = release = version_of("faceplate")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "examples/**.md"]
exclude_patterns = [".*", "build", "backend", "tests", "**/node_modules"]
highlight_language = "text"
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
default_role = "py:obj"
# Types of other packages cannot be linked to, since nothing is fetched to build the site.
nitpick_ignore_regex = [("py:.*", ".*")]

html_theme = "furo"
html_title = f"faceplate {version}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}


def setup(app: Sphinx) -> None:
    app.add_lexer("sql", PostgresLexer)  # the general one knows no $1
    app.connect("source-read", complete_page)
    app.connect("autodoc-process-docstring", separate_endings)
    app.connect("autodoc-process-signature", shorten)
    app.connect("build-finished", make_front_page)
    app.connect("build-finished", serve_for_models)


def complete_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add what is made of the code to the page that has a place for it."""
    source[0] = source[0].replace(pages.SETTINGS, pages.settings())
    source[0] = source[0].replace(pages.REFERENCE, pages.reference())
    if docname == app.config.root_doc:
        source[0] += pages.navigation(app.env.found_docs - {docname})


def separate_endings(*event: Any) -> None:
    """Let the plural of a name, as in ``bindparam``s, be what its author meant."""
    lines = event[-1]
    lines[:] = [re.sub(r"(`+[^`\s]+`+)(?=\w)", r"\1\\ ", line) for line in lines]


def shorten(*event: Any) -> tuple[str | None, str | None]:
    """Leave out the modules in a signature that is too much for Sphinx's own way to do so."""
    signature, result = event[-2:]
    if signature and "Concatenate" in signature:
        return re.sub(r"~(\w+\.)*", "", signature), result
    return signature, result


def make_front_page(app: Sphinx, failure: Exception | None) -> None:
    """Make the README the index, which a browser opens for the folder."""
    if failure is None:
        shutil.copy(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def serve_for_models(app: Sphinx, failure: Exception | None) -> None:
    """Put llms.txt at the top of the site, and the Markdown that it leads to beside the pages."""
    if failure is None:
        out = Path(app.outdir)
        for name in app.env.found_docs:
            shutil.copy(ROOT / f"{name}.md", out / f"{name}.md")
        text = (ROOT / "docs" / "llms.txt").read_text(encoding="utf-8")
        text = re.sub(r"\]\((?!https?:)", "](docs/", text).replace("](docs/../", "](")
        (out / "llms.txt").write_text(text, encoding="utf-8")
