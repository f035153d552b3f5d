"""Exports run as jobs: what is delivered is certified, what is not leaves no file."""

from __future__ import annotations

import errno
import io
import json
import threading
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.core import Core
from tests.jobs.working import SOON_S, adapt, core_at, project, samples
from tsugiki.backbones import Loaded
from tsugiki.domain import Content, Export, Label, Precision, Project, Version
from tsugiki.errors import NotFound, Unavailable
from tsugiki.export.bundle import build
from tsugiki.jobs.exporting import PARITY_ROWS, Answers, Exporting, ExportStores

if TYPE_CHECKING:
    from tsugiki.domain import Floats


@pytest.fixture(scope="module")
def made(core: Core) -> Project:
    """A project with one version."""
    return adapted(core, "exported")


def adapted(core: Core, name: str) -> Project:
    found = project(core, name)
    core.samples.add(found.id, samples())
    assert adapt(core, core.fast_lane, found).status == "succeeded"
    return found


def exporting(core: Core, answers: Answers) -> Exporting:
    """The core's own but for the reference it is compared with. Close it."""
    core.taking_up.close()  # what runs here is in none of the core's lanes: on a slow machine it was run there as well
    stores = ExportStores(core.exports, core.registry, core.samples, core.blobs)
    return Exporting(
        stores,
        lambda version: core.backbones.of(version).loaded,
        answers,
        build,
        core.decoder,
        core.settings.root / "staging",
        pauses_s=(0.0, 0.0),
    )


def export(core: Core, of: Project, by: Exporting, precision: Precision = "fp32") -> Export:
    asked = core.exports.create(of.id, 1, precision)
    by.submit(of, asked).result(SOON_S)
    return core.exports.get(of.tenant_id, asked.id)


def content(core: Core, found: Export) -> bytes:
    assert found.sha256 is not None
    return b"".join(core.blobs.open(found.project_id, found.sha256))


def files(core: Core, of: Project) -> list[str]:
    return sorted(path.name for path in (core.settings.root / "blobs" / of.id).rglob("*") if path.is_file())


def test_an_export_is_delivered_with_its_parity(core: Core, made: Project) -> None:
    done = export(core, made, core.exporting)
    assert (done.status, done.error) == ("succeeded", None)
    assert done.parity is not None
    assert done.parity["rows"] == 2 * 24, "each sample, and its beginning"
    assert (done.parity["reference"], done.parity["over"]) == ("service", "samples")
    assert done.parity["max_abs_diff"] <= 1e-4
    zipped = content(core, done)
    assert len(zipped) == done.bytes
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert json.loads(archive.read("labels.json")) == ["billing", "delivery"]
    assert manifest["version"]["digest"] == core.registry.get(made.id, 1).digest
    assert manifest["parity"] == done.parity
    assert list((core.settings.root / "staging").iterdir()) == []


def test_without_samples_what_answers_by_names_is_compared_on_them(core: Core) -> None:
    tenant = core.tenants.list().data[0].id
    labels = [Label("billing", "refund money, charge on my card"), Label("late_parcel")]
    of = core.projects.create(tenant, "only-named", "text", "single_label", "tiny", labels=labels)
    assert adapt(core, core.fast_lane, of).status == "succeeded"
    done = export(core, of, core.exporting)
    assert (done.status, done.error) == ("succeeded", None)
    assert done.parity is not None and (done.parity["over"], done.parity["rows"]) == ("labels", 2 * 3)
    with zipfile.ZipFile(io.BytesIO(content(core, done))) as archive:
        assert json.loads(archive.read("manifest.json"))["parity"] == done.parity

    def other_answers(asked: Project, version: Version, inputs: Sequence[Content]) -> Floats:
        return np.roll(core.predictor.probabilities(asked, version, inputs), 1, axis=1)

    broken = exporting(core, other_answers)
    refused = export(core, of, broken)
    broken.close()
    assert refused.error is not None and refused.error["code"] == "parity_missed"


def test_an_export_made_before_is_found_again_by_its_precision(core: Core) -> None:
    of = adapted(core, "again")
    done = export(core, of, core.exporting)
    assert core.exports.begin(of.id, 1, "fp32") == done
    assert core.exports.begin(of.id, 1, "int8").status == "queued"
    assert export(core, of, core.exporting).sha256 == done.sha256, "the same version gives the same bytes"


def test_what_an_export_is_compared_on_are_samples_and_texts_that_were_not_fitted(core: Core) -> None:
    of = adapted(core, "compared")
    asked: list[Content] = []

    def listening(project: Project, version: Version, inputs: Sequence[Content]) -> Floats:
        asked.extend(inputs)
        return core.predictor.probabilities(project, version, inputs)

    by = exporting(core, listening)
    assert export(core, of, by).status == "succeeded"
    by.close()
    stored: set[Content] = {row.content for row in core.samples.labelled(of.id)}
    assert len(asked) <= PARITY_ROWS
    assert stored & set(asked) and set(asked) - stored


def test_an_export_that_answers_otherwise_than_the_service_is_refused_and_leaves_no_file(core: Core) -> None:
    of = adapted(core, "missed")
    before = files(core, of)

    def other_answers(asked: Project, version: Version, inputs: Sequence[Content]) -> Floats:
        return np.roll(core.predictor.probabilities(asked, version, inputs), 1, axis=1)

    broken = exporting(core, other_answers)
    done = export(core, of, broken)
    broken.close()
    assert (done.status, done.sha256, done.bytes, done.parity) == ("failed", None, None, None)
    assert done.error is not None
    assert done.error["code"] == "parity_missed"
    assert files(core, of) == before
    assert list((core.settings.root / "staging").iterdir()) == []
    assert export(core, of, core.exporting).status == "succeeded"


def test_a_bug_fails_the_export_without_telling_internals(core: Core, made: Project) -> None:
    def bug(asked: Project, version: Version, inputs: Sequence[Content]) -> Floats:
        raise ZeroDivisionError(inputs[0])

    broken = exporting(core, bug)
    done = export(core, made, broken)
    broken.close()
    assert done.status == "failed"
    assert done.error is not None
    assert "money" not in str(done.error)


def test_a_project_without_samples_cannot_be_compared(core: Core) -> None:
    of = adapted(core, "emptied")
    for sample in core.samples.list(of.id).data:
        core.samples.delete(of.id, sample.id)
    done = export(core, of, core.exporting)
    assert (done.status, (done.error or {})["code"]) == ("failed", "conflict")


def test_no_file_stays_of_a_project_that_is_erased_while_it_is_exported(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    of = adapted(core, "erased-export")

    def erase_first(asked: Project, version: Version, inputs: Sequence[Content]) -> Floats:
        found = core.predictor.probabilities(asked, version, inputs)
        core.projects.delete(of)
        return found

    interrupted = exporting(core, erase_first)
    asked = core.exports.create(of.id, 1, "fp32")
    interrupted.submit(of, asked).result(SOON_S)
    interrupted.close()
    with pytest.raises(NotFound):
        core.exports.get(of.tenant_id, asked.id)
    assert files(core, of) == []
    assert list((core.settings.root / "staging").iterdir()) == []
    assert "without recording it" not in caplog.text


def test_a_start_takes_up_exports_and_gives_up_one_that_kills_its_process(
    make_home: Callable[[], Path], tiny: Loaded
) -> None:
    home = make_home()
    with core_at(home, tiny.source.folder) as before:
        of = adapted(before, "left")
        left, deadly = (before.exports.create(of.id, 1, "fp32") for _ in range(2))
    for attempt in (1, 2, 3):
        (home / "staging" / deadly.id).mkdir(parents=True, exist_ok=True)
        (home / "staging" / deadly.id / f"attempt-{attempt}").touch()
    with core_at(home, tiny.source.folder) as after:
        ended = partial(after.exports.get, of.tenant_id)
        assert export(after, of, after.exporting).status == "succeeded"
        assert ended(left.id).status == "succeeded"
        assert (ended(deadly.id).status, (ended(deadly.id).error or {})["code"]) == ("failed", "attempts_exhausted")
        assert list((home / "staging").iterdir()) == []


@pytest.mark.parametrize("trouble", [Unavailable("away"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_moment_s_trouble_is_outlasted(core: Core, made: Project, trouble: Exception) -> None:
    troubles = [trouble, trouble]

    def meet(asked: Project, version: Version, inputs: Sequence[Content]) -> Floats:
        if troubles:
            raise troubles.pop()
        return core.predictor.probabilities(asked, version, inputs)

    troubled = exporting(core, meet)
    assert export(core, made, troubled).status == "succeeded"
    troubled.close()
    assert list((core.settings.root / "staging").iterdir()) == []


def test_lasting_trouble_is_given_up_and_told(core: Core, made: Project) -> None:
    tried: list[int] = []

    def away(asked: Project, version: Version, inputs: Sequence[Content]) -> Floats:
        tried.append(len(inputs))
        raise Unavailable("the engine is away")

    troubled = exporting(core, away)
    done = export(core, made, troubled)
    troubled.close()
    assert (done.status, len(tried)) == ("failed", 3)
    assert (done.error or {})["detail"] == "the engine is away"
    assert list((core.settings.root / "staging").iterdir()) == []


def test_closing_puts_a_running_export_back_as_if_it_had_not_begun(core: Core, made: Project) -> None:
    entered, opened = threading.Semaphore(0), threading.Event()

    def held(asked: Project, version: Version, inputs: Sequence[Content]) -> Floats:
        entered.release()
        assert opened.wait(SOON_S)
        return core.predictor.probabilities(asked, version, inputs)

    closed = exporting(core, held)
    running, waiting = (core.exports.create(made.id, 1, "fp32") for _ in range(2))
    ran, waited = (closed.submit(made, one) for one in (running, waiting))
    assert entered.acquire(timeout=SOON_S)
    closing = threading.Thread(target=closed.close)
    closing.start()
    waited.result(SOON_S)  # closing lets go of it, so it has begun
    opened.set()
    ran.result(SOON_S)
    closing.join(SOON_S)
    assert core.exports.get(made.tenant_id, running.id).status == "queued"
    assert list((core.settings.root / "staging").rglob("attempt-*")) == []
    core.exporting.submit(made, running).result(SOON_S)
    assert core.exports.get(made.tenant_id, running.id).status == "succeeded"
    assert list((core.settings.root / "staging").iterdir()) == []
