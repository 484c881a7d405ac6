"""README.md and docs/: what they name is there."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [
    path.relative_to(CHECKOUT).as_posix()
    for path in (CHECKOUT / "README.md", *sorted(CHECKOUT.glob("docs/*.md")), CHECKOUT / "lxcri/csrc/README.md")
]


def text_of(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def anchors(page: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str) -> None:
    """Of the checkout; those to other sites are not tried."""
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not (CHECKOUT / target).exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("page", PAGES)
def test_paths(page: str) -> None:
    """Words in capitals stand for a name."""
    named = set(re.findall(r"\b(?:tests|lxcri|lxcffi|docs|vendor-headers)/[\w./*\-]*\w", text_of(page)))
    found = {path for path in named if glob.glob(str(CHECKOUT / path)) or re.search("[A-Z]{3}|__pycache__", path)}
    assert named - found - {"lxcri/lxcri.json", "lxcri/ID"} == set()


@pytest.mark.parametrize("page", PAGES)
def test_tests(page: str) -> None:
    """By the name of the function, or of the module."""
    sources = list(CHECKOUT.glob("tests/**/test_*.py"))
    functions = {name for path in sources for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}
    assert set(re.findall(r"\btest_\w+", text_of(page))) - functions - {path.stem for path in sources} == set()


def test_every_page_is_in_the_index() -> None:
    listed = set(re.findall(r"\]\((\w+\.md)\)", text_of("docs/README.md")))
    assert listed == {os.path.basename(page) for page in PAGES if page.startswith("docs/")} - {"README.md"}
