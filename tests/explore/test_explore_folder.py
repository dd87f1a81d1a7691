"""The folder of `miras explore`: its own *.yaml files are read and written, and nothing else is, whatever a page asks for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from miras_compiler.errors import InputError
from miras_compiler.explore.folder import Folder
from miras_compiler.expressions.formula import MAX_BYTES


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "outside.yaml").write_text("secret: 1\n")
    return tmp_path / "specs"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_spec_is_saved_and_read_back(place: Path) -> None:
    folder = Folder(place)
    kept = folder.save("a.yaml", "name: α\n", None)
    assert folder.read("a.yaml") == kept
    assert folder.names() == ["a.yaml"]
    assert (place / "a.yaml").read_text(encoding="utf-8") == "name: α\n"
    assert [path.name for path in place.iterdir()] == ["a.yaml"]


def test_a_folder_that_is_not_there_is_made_by_the_first_save(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new" / "specs")
    assert folder.names() == []
    assert not (tmp_path / "new").exists()
    folder.save("a.yaml", "name: a\n", None)
    assert folder.names() == ["a.yaml"]


NAMES = (
    *("../outside.yaml", "/etc/passwd", "/tmp/a.yaml", "a/b.yaml", "a\\b.yaml", "..yaml", ".yaml", ".hidden.yaml", "a.yml", "a.yaml\n"),
    *("a.yaml/", "a", "", "a\0.yaml", "~/a.yaml", "a.yaml.py", "C:a.yaml", "ä.yaml", "-rf.yaml", "a" * 300 + ".yaml", "%2e%2e%2fa.yaml"),
    "a.YAML",
)


@pytest.mark.parametrize("name", NAMES)
def test_other_names_are_refused(place: Path, name: str) -> None:
    before = everything(place.parent)
    folder = Folder(place)
    with pytest.raises(InputError):
        folder.read(name)
    with pytest.raises(InputError):
        folder.there(name)
    with pytest.raises(InputError):
        folder.save(name, "x: 1\n", None)
    assert everything(place.parent) == before


def test_links_folders_and_pipes_are_neither_read_nor_replaced(place: Path) -> None:
    (place / "link.yaml").symlink_to(place.parent / "outside.yaml")
    (place / "dangling.yaml").symlink_to(place.parent / "nothing.yaml")
    (place / "folder.yaml").mkdir()
    os.mkfifo(place / "pipe.yaml")
    folder = Folder(place)
    before = everything(place.parent)
    assert folder.names() == []
    for name in ("link.yaml", "dangling.yaml", "folder.yaml", "pipe.yaml"):
        with pytest.raises(InputError, match=name):
            folder.read(name)
        with pytest.raises(InputError, match=name):
            folder.save(name, "x: 1\n", None)
    assert everything(place.parent) == before
    assert not (place.parent / "nothing.yaml").exists()


def test_nothing_is_overwritten_but_the_text_that_was_shown(place: Path) -> None:
    folder = Folder(place)
    first = folder.save("a.yaml", "name: a\n", None)
    for over in (None, "", "0" * 64):
        with pytest.raises(InputError, match="not overwritten"):
            folder.save("a.yaml", "name: b\n", over)
    second = folder.save("a.yaml", "name: b\n", first.mark)
    with pytest.raises(InputError, match="not overwritten"):  # it has changed since it was shown
        folder.save("a.yaml", "name: c\n", first.mark)
    assert folder.read("a.yaml") == second


def test_what_is_no_spec_is_not_read(place: Path) -> None:
    (place / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (place / "long.yaml").write_text("#" * (MAX_BYTES + 1))
    folder = Folder(place)
    for name in ("binary.yaml", "long.yaml", "none.yaml"):
        with pytest.raises(InputError, match=name):
            folder.read(name)
    with pytest.raises(InputError, match="longer than"):
        folder.save("new.yaml", "#" * (MAX_BYTES + 1), None)
    assert not (place / "new.yaml").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        Folder(tmp_path / "file")
