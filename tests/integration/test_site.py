"""The documentation site: it builds from the sources, and needs nothing from outside."""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.units import units

import faceplate
from faceplate import Settings, services
from faceplate._alembic import scaffold

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; a warning is an error."""
    out = tmp_path_factory.mktemp("site")
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    (options,) = re.findall(r"sphinx-build (.*) -d build/doctrees (.*) \. build/docs", make)
    command = " ".join(options).split()
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *command, "-d", out / "doctrees", ".", out / "html"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    shutil.rmtree(out / "doctrees", ignore_errors=True)
    assert built.returncode == 0, built.stderr
    return out / "html"


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", read(page)))


def test_it_opens_at_the_front_page(site: Path) -> None:
    """Else a browser that opens the folder shows a list of files."""
    assert "<h1>faceplate" in read(site / "index.html")


def test_a_page_loads_nothing_from_outside(site: Path) -> None:
    """Else the site is broken offline, and tells another host who reads it."""
    loads = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]+""")
    style = re.compile(r"""(?:@import|url\()\s*['"]?(?:https?:)?//[^)'"]+""")
    pages = [*site.rglob("*.html")]
    assert len(pages) > 10
    assert [found for page in pages for found in loads.findall(read(page))] == []
    assert [found for page in site.rglob("*.css") for found in style.findall(read(page))] == []


def test_every_setting_is_explained(site: Path) -> None:
    """Else an operator looks into the source for what a variable does."""
    text = " ".join(text_of(site / "docs" / "configuration.html").split()).replace(
        "\N{RIGHT SINGLE QUOTATION MARK}", "'"
    )
    for name, field in Settings.model_fields.items():
        assert scaffold.variable_of(name) in text
        assert (field.description or "")[:40].replace("`", "") in text


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """Else a name that one may use is one that nobody finds."""
    anchors = set(re.findall(r'id="([\w.]+)"', read(site / "docs" / "api.html")))
    records_and_errors = {"faceplate.errors", "faceplate.records", "faceplate.health"}
    for name in faceplate.__all__:
        assert {f"{where}.{name}" for where in {"faceplate", *records_and_errors}} & anchors, name
    assert {f"{services.__name__}.{unit}" for unit in units()} <= anchors


def test_every_page_is_in_the_side_bar(site: Path) -> None:
    """Else only a reader who knows the page's name finds it."""
    linked = set(re.findall(r'href="([\w/-]+\.html)"', read(site / "README.html")))
    pages = {str(page.relative_to(site)) for page in site.rglob("*.html")}
    made_by_sphinx = {
        "index.html",
        "README.html",
        "genindex.html",
        "py-modindex.html",
        "search.html",
    }
    assert pages - linked - made_by_sphinx == set()


def test_a_model_can_read_the_site(site: Path) -> None:
    """Else llms.txt, which a program asks for at the top, leads to pages that are not there."""
    links = re.findall(r"\]\(([^)#]+)", read(site / "llms.txt"))
    assert "docs/quickstart.md" in links
    assert [link for link in links if not (site / link).is_file()] == []
