"""The pictures of the documents are those that their sources give, and all of them are shown."""

from __future__ import annotations

import os
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.docs import graphs, pictures
from tests.docs.markdown import documents, images, name_of
from tests.docs.states import MACHINES

SVG = "{http://www.w3.org/2000/svg}"
GRAPH = """\
digraph {
    label="A <graph>"
    comment="One leads
        to the other."
    one -> other [label="words & more"]
    other -> one [class=data, penwidth=3]
}
"""
LAID_OUT = """\
<svg width="116pt" height="154pt"
 viewBox="0.00 0.00 115.87 154.00" xmlns="http://www.w3.org/2000/svg">
<g id="graph0" class="graph" transform="scale(1 1) rotate(0) translate(4 150)">
<title>%3</title>
<text text-anchor="middle" x="53.94" y="-130.8" font-family="Times,serif">A &lt;graph&gt;</text>
<g id="node1" class="node"><title>one</title>
<polygon fill="none" stroke="black" points="87.71,-123 33.71,-123 33.71,-87 87.71,-87 87.71,-123"/>
<text text-anchor="middle" x="60.71" y="-101.3" font-size="14.00">one</text></g>
<g id="node2" class="node"><title>other</title>
<polygon fill="none" stroke="black" points="88.21,-36 33.21,-36 33.21,0 88.21,0 88.21,-36"/>
<text text-anchor="middle" x="60.71" y="-14.3" font-size="14.00">other</text></g>
<g id="edge1" class="edge"><title>one&#45;&gt;other</title>
<path fill="none" stroke="black" d="M33.66,-94.71C21.96,-89.18 9.42,-80.88 2.71,-69"/>
<polygon fill="black" stroke="black" points="25.52,-36.82 32.9,-29.22 22.39,-30.56 25.52,-36.82"/>
<text text-anchor="middle" x="54.21" y="-57.8" font-size="14.00">words &amp; more</text></g>
<g id="edge2" class="edge data"><title>other&#45;&gt;one</title>
<path fill="none" stroke="black" stroke-width="3" d="M88.44,-34.14C101.2,-43.27 112.23,-55.68"/>
<polygon fill="black" stroke="black" stroke-width="3" points="93.33,-79.87 88,-89.03 97.87,-85.19"/>
</g></g></svg>
"""
"""What Graphviz 2.43 makes of it."""


@pytest.fixture
def dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a ``dot`` prints that always prints the same."""
    program = tmp_path / "dot"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/printed; cat {tmp_path}/told >&2\n")
    program.chmod(0o755)
    (tmp_path / "printed").write_text(LAID_OUT)
    (tmp_path / "told").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_the_pictures_are_as_their_sources_give_them() -> None:
    """``python -m tests.docs.pictures --write`` makes it so."""
    assert pictures.main([]) == 0


def test_every_picture_is_shown_and_has_a_source() -> None:
    shown = {
        (document.parent / target).resolve()
        for document in documents()
        for _, _, target in images(document.read_text())
    }
    kept = set(pictures.FOLDER.glob("*.svg"))
    assert kept == {pictures.FOLDER / f"{picture.name}.svg" for picture in pictures.pictures()}
    assert kept == {path for path in shown if path.parent == pictures.FOLDER}


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_images(document: Path) -> None:
    """They are there, and say what they show to those who cannot see them."""
    faults = [
        f"line {line}: {target}"
        for line, told, target in images(document.read_text())
        if len(told) < 20 or not (document.parent / target).is_file()
    ]
    assert faults == []


@pytest.mark.parametrize("path", sorted(pictures.FOLDER.glob("*.svg")), ids=lambda path: path.stem)
def test_what_every_picture_has(path: Path) -> None:
    """Title and description for those who cannot see it; nothing that is elsewhere."""
    text = path.read_text()
    root = ET.fromstring(text)
    assert root.get("role") == "img"
    for attribute, tag in (("aria-labelledby", "title"), ("aria-describedby", "desc")):
        (element,) = root.findall(f"{SVG}{tag}")
        assert element.get("id") == root.get(attribute)
        assert element.text
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"(href|src)=|url\(|<script|<image", text)


@pytest.mark.usefixtures("dot")
def test_a_graph() -> None:
    text = graphs.draw(GRAPH)
    root = ET.fromstring(text)
    said = [element.text for element in root.iter(f"{SVG}text")]
    assert said == ["A <graph>", "one", "other", "words & more"]
    assert root.findtext(f"{SVG}title") == "A <graph>"
    assert root.findtext(f"{SVG}desc") == "One leads to the other."
    lines = [path for path in root.iter(f"{SVG}path") if path.get("fill") == "none"]
    words, data = ((line.get("class"), float(line.get("stroke-width", 1))) for line in lines)
    assert words[0] != data[0]
    assert words[1] < data[1]


@pytest.mark.usefixtures("dot")
def test_a_graph_that_was_not_drawn_from_its_source() -> None:
    """Another source, another look, and a picture that was changed by hand."""
    text = graphs.draw(GRAPH)
    assert graphs.agrees(text, GRAPH)
    assert not graphs.agrees(text, GRAPH.replace("words", "text"))
    assert not graphs.agrees(text.replace("#ffffff", "#fffff0"), GRAPH)
    assert not graphs.agrees(text.replace("words", "text"), GRAPH)
    assert not graphs.agrees("", GRAPH)


def test_graphs_that_cannot_be_drawn(dot: Path) -> None:
    with pytest.raises(ValueError, match="a comment is expected"):
        graphs.draw("digraph { }")
    (dot / "printed").write_text(LAID_OUT.replace("text", "tspan"))
    with pytest.raises(ValueError, match="a label is expected"):
        graphs.draw(GRAPH)
    (dot / "told").write_text("Error: syntax error in line 1\n")
    with pytest.raises(ValueError, match="syntax error in line 1"):
        graphs.draw(GRAPH)


def test_every_transition_is_in_the_graph_of_a_machine() -> None:
    for machine in MACHINES:
        told = machine.graph()
        assert f'begin -> "{machine.first}"' in told
        for before, symbols, after in machine.arrows():
            (arrow,) = re.findall(rf'"{before}" -> "{after}" \[label="(.*)"\]', told)
            assert arrow.replace("\\n", " ") == symbols


def test_another_picture_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And mended."""
    for path in pictures.FOLDER.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "backup.svg").write_text("another")
    (tmp_path / "indirect.svg").unlink()
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    assert pictures.main([]) == 1
    told = capsys.readouterr().out
    assert "backup.svg is not as" in told
    assert "indirect.svg is not as" in told
    assert pictures.main(["--write"]) == 0
    assert pictures.main([]) == 0
