"""Fills the little disk of a home while its trainer trains: `python -m tests.faults.filling_trainer HOME BACKBONE`.

Raises where the job is lost, or nobody is told why it waits; in a mount namespace of its own, which ends with it.
"""

import sys
from pathlib import Path

from service.wiring import Core
from tests.faults.filling import fill
from tests.faults.several import soon
from tests.jobs.deep import FITTED, HOLD, core_with_trainer
from tests.jobs.working import SOON_S, adapt, live, project, samples
from tsugiki.domain import Adaptation, Project
from tsugiki.errors import StorageFull
from tsugiki.runtime.directory import Selector

STAYS_S = 3.0  # longer than a write that failed waits before it is tried again


def main(home: Path, backbone: Path) -> None:
    hold, filler = home / HOLD, home / "filler"
    with core_with_trainer(home, backbone) as core:
        made = project(core)
        core.samples.add(made.id, samples())
        assert adapt(core, core.fast_lane, made).status == "succeeded"
        hold.touch()
        job, next_one = train(core, made), train(core, made)
        assert soon(lambda: now(core, made, job).phase == "train", SOON_S)
        (home / FITTED).unlink(missing_ok=True)  # which the method makes: it meets the full disk first
        fill(filler)
        hold.unlink()
        assert not soon(lambda: now(core, made, job).status not in ("queued", "running"), STAYS_S), "it waits"
        assert is_full(core, made)
        route = core.directory.resolve(made.tenant_id, made.id, Selector())
        assert route.version.number == 1
        filler.unlink()
        for one in (job, next_one):
            assert soon(lambda: now(core, made, one).status == "succeeded", SOON_S), now(core, made, one)  # noqa: B023  # called within the round
        (told,) = [event.data["text"] for event in core.adaptations.events(job.id) if event.type == "message"]
        assert told == "the disk has no room for the adaptation; it is tried again", told
        assert now(core, made, job).attempts == 2
        assert [version.number for version in core.registry.list(made.id).data] == [1, 2, 3]
        assert live(core, made.id) is not None


def train(core: Core, to: Project) -> Adaptation:
    wish = {"method": "lora", "budget": None, "hyperparameters": None, "promote": "gate"}
    return core.adaptations.create(to.id, wish, for_trainer=True)


def now(core: Core, of: Project, job: Adaptation) -> Adaptation:
    return core.adaptations.get(of.tenant_id, job.id)


def is_full(core: Core, of: Project) -> bool:
    try:
        core.blobs.put(of.id, bytes(1 << 20))
    except StorageFull:
        return True
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
