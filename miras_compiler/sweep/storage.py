"""The storage of trials: a journal in the sweep's folder, or a database that workers on many machines share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from miras_compiler.errors import InputError
from miras_compiler.sweep.grid import Grid
from miras_compiler.sweep.lock import FileLock

JOURNAL = "journal.jsonl"
GRID = "grid"  # the study's attribute with the digest of its grid


def open_storage(folder: Path, url: str | None) -> BaseStorage:
    """The journal of a folder, or the database at `url`; InputError where it cannot be reached."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is None:
        journal = folder.resolve() / JOURNAL
        cut_torn_line(folder)
        lock: Any = _lock(folder)
        return JournalStorage(JournalFileBackend(str(journal), lock_obj=lock))
    try:
        patience = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
        return RDBStorage(url, engine_kwargs=patience)
    except Exception as error:  # of the driver of the database, whichever it is
        said = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"--storage {shown(url)}: cannot be opened: {said[0]}; name a database that can be reached, such as sqlite:///sweep.db, "
            "or leave --storage out for a journal in the sweep's folder"
        ) from None


def cut_torn_line(folder: Path) -> None:
    """Cuts a journal back to its last whole line: half a line of a killed writer would swallow the next one."""
    journal = folder / JOURNAL
    if not journal.is_file():
        return
    with _lock(folder), journal.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)


def open_study(storage: BaseStorage, grid: Grid) -> optuna.Study:
    """The study of a grid, made if it is not there; its name is the grid's digest, so that a database can have several."""
    directions = [StudyDirection.MAXIMIZE if grid.larger(name) else StudyDirection.MINIMIZE for name in grid.objectives]
    return optuna.create_study(study_name=f"miras-sweep-{grid.digest}", storage=storage, directions=directions, load_if_exists=True)


def shown(url: str) -> str:
    """An address without its password."""
    scheme, mark, rest = url.partition("://")
    account, at, host = rest.rpartition("@")
    return f"{scheme}{mark}{account.partition(':')[0]}:***{at}{host}" if at and ":" in account else url


def _lock(folder: Path) -> FileLock:
    return FileLock(folder.resolve() / f".{JOURNAL}.lock")
