"""A package is written whole or not at all, though writers are killed, interrupted, refused or racing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kit.forked import exit_code
from miras_compiler import store
from miras_compiler.emit.source_file import SourceFile
from miras_compiler.errors import InputError, InternalError
from miras_compiler.store import is_current, write_file, write_new_file, write_package


def package(text: str) -> tuple[SourceFile, ...]:
    return (SourceFile("__init__.py", text), SourceFile("parts/one.py", text), SourceFile("manifest.json", text))


OLD, NEW = package("old\n"), package("new\n")
PRELUDE = """
    import os, signal, sys
    from pathlib import Path
    from miras_compiler import store
    from miras_compiler.emit.source_file import SourceFile
    def package(text):
        return (SourceFile("__init__.py", text), SourceFile("parts/one.py", text), SourceFile("manifest.json", text))
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def run(script: str, folder: Path) -> int:
    """The exit code of a process that runs PRELUDE and the script on `folder`."""
    return exit_code(textwrap.dedent(PRELUDE) + textwrap.dedent(script), folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system on which two folders cannot change places."""
    monkeypatch.setattr(store, "exchange", lambda one, other: False)


def test_a_package_is_written_with_its_subfolders_and_nothing_beside_it(tmp_path: Path) -> None:
    place = write_package(tmp_path / "deep" / "out", "x", NEW)
    assert place == tmp_path / "deep" / "out" / "x"
    assert (place / "parts" / "one.py").read_bytes() == b"new\n"
    assert names(place.parent) == ["x"]


def test_a_new_package_replaces_the_old_one_and_its_files(tmp_path: Path) -> None:
    place = write_package(tmp_path, "x", (*OLD, SourceFile("gone.py", "old\n")))
    write_package(tmp_path, "x", NEW)
    assert is_current(place, NEW)
    assert names(tmp_path) == ["x"]
    assert names(place) == ["__init__.py", "manifest.json", "parts"]


def test_the_old_package_is_replaced_where_folders_cannot_change_places(tmp_path: Path, without_exchange: None) -> None:
    write_package(tmp_path, "x", OLD)
    write_package(tmp_path, "x", NEW)
    assert is_current(tmp_path / "x", NEW)
    assert names(tmp_path) == ["x"]


def test_the_old_package_is_replaced_where_folders_cannot_even_be_renamed(
    tmp_path: Path, without_exchange: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path, "x", OLD)
    rename = os.rename

    def rename_in_a_container(one: Path, other: Path) -> None:
        if one == tmp_path / "x":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(one, other)

    monkeypatch.setattr(os, "rename", rename_in_a_container)
    write_package(tmp_path, "x", NEW)
    assert is_current(tmp_path / "x", NEW)
    assert names(tmp_path) == ["x"]


def test_a_current_package_is_left_alone_with_its_report(tmp_path: Path) -> None:
    place = write_package(tmp_path, "x", NEW)
    (place / "verification.json").write_text("{}")
    (place / "__pycache__").mkdir()
    inode = place.stat().st_ino
    write_package(tmp_path, "x", NEW)
    assert place.stat().st_ino == inode
    assert (place / "verification.json").exists()


def test_the_report_on_an_old_package_goes_with_it(tmp_path: Path) -> None:
    place = write_package(tmp_path, "x", OLD)
    (place / "verification.json").write_text("{}")
    write_package(tmp_path, "x", NEW)
    assert not (place / "verification.json").exists()


def test_a_package_with_a_file_too_many_or_too_few_is_not_current(tmp_path: Path) -> None:
    place = write_package(tmp_path, "x", NEW)
    assert is_current(place, NEW)
    assert not is_current(place, NEW[:-1])
    assert not is_current(place, (*NEW, SourceFile("more.py", "")))
    assert not is_current(place, OLD)
    assert not is_current(tmp_path / "y", NEW)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["store.os.rename", "store.exchange", "store.shutil.rmtree", "store.Path.write_bytes"])
@pytest.mark.parametrize("swap", ["in one call", "in two steps"])
def test_a_writer_killed_at_any_step_leaves_a_whole_package(tmp_path: Path, step: str, when: str, swap: str) -> None:
    """SIGKILL before or after the first, second or third call of the step; then the next writer finishes and tidies."""
    for count in range(3):
        folder = tmp_path / str(count)
        write_package(folder, "x", OLD)
        child = run(
            f"""
            if {swap == "in two steps"}:
                store.exchange = lambda one, other: False
            calls = 0
            call = {step}
            def deadly(*args, **keywords):
                global calls
                calls += 1
                if calls > {count} and {when == "before"}: die()
                result = call(*args, **keywords)
                if calls > {count} and {when == "after"}: die()
                return result
            {step} = deadly
            store.write_package(folder, "x", package("new\\n"))
            """,
            folder,
        )
        assert child in (0, -signal.SIGKILL)
        place = folder / "x" if (folder / "x").exists() else folder / ".x.old"
        assert swap == "in two steps" or place == folder / "x"
        assert is_current(place, OLD) or is_current(place, NEW)
        write_package(folder, "x", package("newest\n"))
        assert is_current(folder / "x", package("newest\n"))
        assert names(folder) == ["x"]


@pytest.mark.slow
def test_some_writers_are_really_killed_in_the_middle(tmp_path: Path) -> None:
    write_package(tmp_path, "x", OLD)
    child = run("store.exchange = die; store.write_package(folder, 'x', package('new\\n'))", tmp_path)
    assert child == -signal.SIGKILL
    assert is_current(tmp_path / "x", OLD)
    assert names(tmp_path) == [".x.lock", ".x.new", "x"]


@pytest.mark.slow
def test_a_package_set_aside_by_a_killed_writer_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(tmp_path, "x", OLD)
    child = run(
        """
        store.exchange = lambda one, other: False
        store._set_aside = lambda place, old: (os.rename(place, old), die())
        store.write_package(folder, "x", package("new\\n"))
        """,
        tmp_path,
    )
    assert child == -signal.SIGKILL
    assert names(tmp_path) == [".x.lock", ".x.new", ".x.old"]

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_package(tmp_path, "x", NEW)
    assert is_current(tmp_path / "x", OLD)
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("broken", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_writer_leaves_the_disk_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: type[BaseException]
) -> None:
    write_package(tmp_path, "x", OLD)
    write = Path.write_bytes

    def interrupted(path: Path, data: bytes) -> int:
        if path.name == "one.py":
            raise broken
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(broken):
        write_package(tmp_path, "x", NEW)
    assert is_current(tmp_path / "x", OLD)
    assert names(tmp_path) == ["x"]


@pytest.mark.slow
def test_processes_that_write_the_same_package_take_turns(tmp_path: Path) -> None:
    script = (
        textwrap.dedent(PRELUDE)
        + "folder = Path(sys.argv[1])\nfor turn in range(40): store.write_package(folder, 'x', package(f'{sys.argv[2]} {turn}\\n'))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name], stderr=subprocess.PIPE) for name in ("a", "b", "c")]
    seen = set(watch(tmp_path / "x" / "manifest.json", writers))
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors.decode()
    last = (tmp_path / "x" / "manifest.json").read_text()
    assert is_current(tmp_path / "x", package(last))
    assert last.endswith(" 39\n")
    assert names(tmp_path) == ["x"]
    assert None not in seen


def watch(file: Path, writers: list[subprocess.Popen[bytes]]) -> Iterator[str | None]:
    """The contents of `file` that a reader finds while the writers are at work, from the first time it is there: None if it is missing."""
    while not file.exists() and any(writer.poll() is None for writer in writers):
        pass
    while any(writer.poll() is None for writer in writers):
        yield file.read_text() if file.exists() else None


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a.b", "x y"])
def test_a_name_cannot_leave_the_output_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not an identifier"):
        write_package(tmp_path / "out", name, NEW)
    assert names(tmp_path) == []


@pytest.mark.parametrize("path", ["../x.py", "/x.py", "a/../../x.py", ""])
def test_a_file_cannot_leave_its_package(tmp_path: Path, path: str) -> None:
    with pytest.raises(InternalError, match="leave its package"):
        write_package(tmp_path / "out", "x", (SourceFile(path, ""),))
    assert names(tmp_path) == []


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        write_package(tmp_path / "out", "x", NEW)
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.slow
def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """The child gives up root's rights, if it has them, since root may write everywhere."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o555)
    child = run(
        """
        from miras_compiler.errors import InputError
        os.chdir(folder)
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            store.write_package(Path("out"), "x", package("new\\n"))
        except InputError as error:
            assert str(error) == "out/x: cannot be written: Permission denied; choose another place with -o"
            os._exit(3)
        """,
        tmp_path,
    )
    assert child == 3
    assert names(tmp_path / "out") == []


def test_a_folder_that_is_no_package_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="not written by this compiler"):
        write_package(tmp_path, "x", NEW)
    assert names(tmp_path) == ["x"]
    assert names(tmp_path / "x") == ["thesis.tex"]


def test_a_file_or_a_link_in_the_place_of_a_package_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    write_package(tmp_path / "elsewhere", "y", OLD)
    (tmp_path / "y").symlink_to(tmp_path / "elsewhere" / "y")
    for name in ("x", "y"):
        with pytest.raises(InputError, match="is not a folder"):
            write_package(tmp_path, name, NEW)
    assert (tmp_path / "x").read_text() == "mine"
    assert is_current(tmp_path / "elsewhere" / "y", OLD)


def test_a_file_is_written_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(tmp_path / "a.json", "old")
    write_file(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    monkeypatch.setattr(os, "replace", lambda one, other: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "a.json", "newest")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert names(tmp_path) == ["a.json"]


def test_threads_may_write_one_file_at_once(tmp_path: Path) -> None:
    place, texts = tmp_path / "a.json", [str(n) * 4096 for n in range(10)]
    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(lambda text: [write_file(place, text) for _ in range(20)][-1], texts)) == [place] * 10
    assert place.read_text() in texts
    assert names(tmp_path) == ["a.json"]


def test_a_new_file_overwrites_nothing(tmp_path: Path) -> None:
    write_new_file(tmp_path / "specs" / "a.yaml", "α\n")
    with pytest.raises(InputError, match="exists already"):
        write_new_file(tmp_path / "specs" / "a.yaml", "β\n")
    assert (tmp_path / "specs" / "a.yaml").read_text(encoding="utf-8") == "α\n"
