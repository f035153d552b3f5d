"""A process that fills its home's disk and goes on: `python -m tests.storage.filling HOME`; fails by assertion."""

import os
import sys
from pathlib import Path

from tests.storage.making import Stores, open_stores, sample
from tsugiki.errors import StorageFull


def main(home: Path) -> None:
    stores = open_stores(home)
    stores.database.migrate()
    project = stores.project()
    version = stores.publish(project)
    ballast = home / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            _fill(file.fileno(), size)
    assert _refused(lambda: stores.blobs.put(project.id, b"x" * 100_000))
    assert _refused(lambda: stores.samples.add(project.id, [sample("y" * 200_000, "a")]))
    assert list(home.rglob(".unfinished-*")) == []
    _reads_go_on(stores, project.id)
    ballast.unlink()
    stores.samples.add(project.id, [sample("y" * 200_000, "a")])
    stores.blobs.put(project.id, b"x" * 100_000)
    assert stores.samples.counts(project.id) == {"a": 1}
    assert stores.registry.graft(version).method == "head"
    stores.database.close()


def _fill(handle: int, size: int) -> None:
    while True:
        try:
            os.write(handle, b"\0" * size)
        except OSError:
            return


def _refused(write: object) -> bool:
    assert callable(write)
    try:
        write()
    except StorageFull:
        return True
    return False


def _reads_go_on(stores: Stores, project_id: str) -> None:
    assert stores.samples.counts(project_id) == {}
    assert stores.registry.alias(project_id, "live") is not None
    assert stores.registry.graft(stores.registry.get(project_id, 1)).method == "head"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
