"""Samples: stored by the thousand in one transaction, with duplicates and contradictions told."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, String, cast, func, insert, or_, select
from sqlalchemy.orm import Session

from tsugiki.domain import LINE, MAX_SAMPLES, Content, Fix, Json, NewSample, Project, Sample, tell_labels
from tsugiki.errors import NotFound, TooLarge, TsugikiError
from tsugiki.storage import fixes
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import Database
from tsugiki.storage.duplicates import Settlement, Stored, settle
from tsugiki.storage.fixes import Fixed, Standing
from tsugiki.storage.orphans import erase_if_orphaned
from tsugiki.storage.pages import Page, cut, one_more
from tsugiki.storage.quotas import require_room
from tsugiki.storage.sample_rows import find, read_sample, save, twins_of, values
from tsugiki.storage.tables import ProjectRow, SampleRow, refuse_nul

log = logging.getLogger(__name__)

FACET_CHARS = 100  # a longer text describes one sample, no group of them


@dataclass(frozen=True, slots=True)
class LabelledSample:
    """What a snapshot is cut from: no more of a sample than training reads. `content` as of NewSample."""

    id: str
    label: str
    group: str
    content: str


class Samples:
    def __init__(self, database: Database, blobs: Blobs, max_samples: int = MAX_SAMPLES) -> None:
        self._database = database
        self._blobs = blobs
        self._max_samples = max_samples

    def add(self, project_id: str, samples: Sequence[NewSample]) -> list[Stored]:
        """All or none, in order. Raises TooLarge beyond the project's or the tenant's limits, NotFound, StorageFull."""
        files = [sample.file.data for sample in samples if sample.file is not None]
        if files:
            with self._database.read() as session:
                self._settle(session, project_id, samples)  # what has no room leaves no files to be swept
        for data in files:  # before the rows that name them; one that no row comes to name is swept
            self._blobs.put(project_id, data)
        try:
            with self._database.write(of=project_id) as session:
                return self._store(session, project_id, samples)
        except NotFound:
            erase_if_orphaned(self._database, self._blobs, project_id)
            raise

    def preview(self, project_id: str | None, samples: Sequence[NewSample]) -> list[Stored]:
        """What `add` would answer, or raise, storing nothing: no ids for, and no evidence of, what would be new.

        None stands for a project that is yet to be made; whether that has room is asked elsewhere.
        """
        if project_id is None:
            settled = settle({}, samples, self._new_id)
        else:
            with self._database.read() as session:
                settled = self._settle(session, project_id, samples)
        return [_without(outcome, settled.inserts.keys()) for outcome in settled.outcomes]

    def list(
        self,
        project_id: str,
        label: str | None = None,
        source: str | None = None,
        issue: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Sample]:
        """`issue` is the code of one; None filters nothing."""
        query = select(SampleRow).where(SampleRow.project_id == project_id, SampleRow.id > (after or ""))
        if label is not None:
            query = query.where(_has_label(label))
        if source is not None:
            query = query.where(SampleRow.source == source)
        if issue is not None:
            refuse_nul(issue)
            query = query.where(cast(SampleRow.issues, String).contains(f'"code": "{issue}"', autoescape=True))
        with self._database.read() as session:
            return cut(session.scalars(query.order_by(SampleRow.id).limit(one_more(limit))).all(), limit, read_sample)

    def get(self, project_id: str, sample_id: str) -> Sample:
        with self._database.read() as session:
            return read_sample(find(session, project_id, sample_id))

    def delete(self, project_id: str, sample_id: str) -> None:
        """Its features go with it; snapshots keep the id, which names nothing any more.

        A file is left to `Blobs.sweep`: the same may be about to be added again, which puts it before the row that
        names it. The log is left to `forget`.
        """
        with self._database.write(of=project_id) as session:
            fixes.remove(session, find(session, project_id, sample_id))

    def forget(self) -> bool:
        """Erase the log's copies of what was deleted or dropped; False if some are left for now. Raises nothing."""
        try:
            return self._database.empty_log()
        except TsugikiError as error:
            log.warning("bytes of deleted samples are left for now: %s", error.detail)
            return False

    def set_label(self, project_id: str, sample_id: str, label: str | None) -> Sample:
        """Raises Conflict `duplicate_exact` if the same input has that label (or, for None, any) elsewhere.

        Somebody has looked at it then: it leaves quarantine.
        """
        with self._database.write(of=project_id) as session:
            row = find(session, project_id, sample_id)
            fixes.relabel(session, row, label)
            return read_sample(row)

    def fix(self, project_id: str, wanted: Sequence[Fix], actor: str) -> list[Fixed]:
        """In order, in one transaction: what ends it in between (a full disk) leaves none applied."""
        with self._database.write(of=project_id) as session:
            now = self._database.now()
            return [fixes.apply(session, project_id, one, actor, now) for one in wanted]

    def standings(self, project_id: str, sample_ids: Collection[str]) -> dict[str, Standing]:
        """How those samples are now that are still there, by id."""
        with self._database.read() as session:
            return fixes.standings(session, project_id, sample_ids)

    def kept(self, project_id: str) -> frozenset[tuple[str, str]]:
        """(sample id, code) of what somebody looked at and found right."""
        with self._database.read() as session:
            return fixes.kept(session, project_id)

    def labelled(self, project_id: str) -> list[LabelledSample]:
        """Every sample that may be trained on, oldest first."""
        query = select(SampleRow.id, SampleRow.label, SampleRow.group, SampleRow.content).where(
            SampleRow.project_id == project_id, SampleRow.label.is_not(None), SampleRow.status == "accepted"
        )
        with self._database.read() as session:
            rows = session.execute(query.order_by(SampleRow.id))
            return [LabelledSample(id, label or "", group, content) for id, label, group, content in rows]

    def measures(self, project_id: str, sample_ids: Sequence[str]) -> list[Json | None]:
        """What each sample was measured to be like, None where it was not: of texts, and of those that are gone."""
        query = select(SampleRow.id, SampleRow.measures).where(SampleRow.project_id == project_id)
        with self._database.read() as session:
            found: dict[str, Json | None] = {id: measures for id, measures in session.execute(query)}
        return [found.get(sample_id) for sample_id in sample_ids]

    def contents(self, project: Project, samples: Sequence[LabelledSample]) -> list[Content]:
        """What was sent as the input of each. Raises ArtifactCorrupt where a file is gone or changed."""
        if project.modality == "text":
            return [sample.content for sample in samples]
        return [self._blobs.get(project.id, sample.content) for sample in samples]

    def facets(self, project_id: str) -> dict[str, dict[str, str]]:
        """By sample id what sets samples apart: its source, and metadata of short texts, truth values, whole numbers.

        Samples without any are left out.
        """
        query = select(SampleRow.id, SampleRow.source, SampleRow.extra).where(
            SampleRow.project_id == project_id,
            SampleRow.label.is_not(None),
            SampleRow.source.is_not(None) | (cast(SampleRow.extra, String) != "{}"),
        )
        with self._database.read() as session:
            found = {id: _facets(source, extra) for id, source, extra in session.execute(query)}
        return {id: facets for id, facets in found.items() if facets}

    def counts(self, project_id: str) -> dict[str, int]:
        """How many samples may be trained on, by what is told of them: a label, or a set of labels."""
        query = (
            select(SampleRow.label, func.count())
            .where(SampleRow.project_id == project_id, SampleRow.label.is_not(None), SampleRow.status == "accepted")
            .group_by(SampleRow.label)
            .order_by(SampleRow.label)
        )
        with self._database.read() as session:
            return {label or "": count for label, count in session.execute(query)}

    def _new_id(self) -> str:
        return self._database.ids.new("smp")

    def _store(self, session: Session, project_id: str, samples: Sequence[NewSample]) -> list[Stored]:
        settled = self._settle(session, project_id, samples, writing=True)
        if settled.inserts:
            now = self._database.now()
            rows = [values(project_id, twin, sample) | {"created_at": now} for sample, twin in settled.inserts.values()]
            session.connection().execute(insert(SampleRow), rows)  # past the mapper: no objects wanted
        save(session, settled.updates.values())
        return settled.outcomes

    def _settle(
        self, session: Session, project_id: str, samples: Sequence[NewSample], *, writing: bool = False
    ) -> Settlement:
        project = session.get(ProjectRow, project_id)
        if project is None:
            raise NotFound(f"There is no project {project_id!r}.")
        known = twins_of(session, project_id, {sample.content_sha for sample in samples})
        settled = settle(known, samples, self._new_id)
        stored = select(func.count()).select_from(SampleRow).where(SampleRow.project_id == project_id)
        total = session.execute(stored).scalar_one() + len(settled.inserts)
        if settled.inserts and total > self._max_samples:
            raise TooLarge(
                f"The project would hold {total} samples; {self._max_samples} is the limit.",
                fix="Delete samples, or use a second project.",
            )
        if settled.inserts:
            new = [sample for sample, _ in settled.inserts.values()]
            require_room(session, project.tenant_id, samples=new, writing=writing)
        return settled


def _has_label(label: str) -> ColumnElement[bool]:
    """As its label, or among its labels. `replace` minds upper and lower case in every database, LIKE does not."""
    inside = tell_labels([label])
    return or_(
        SampleRow.label == label,
        SampleRow.label.startswith(LINE) & (func.replace(SampleRow.label, inside, "") != SampleRow.label),
    )


def _facets(source: str | None, metadata: Json) -> dict[str, str]:
    facets = {} if source is None else {"source": source}
    for key, value in metadata.items():
        if isinstance(value, (bool, int)) or (isinstance(value, str) and len(value) <= FACET_CHARS):
            facets[key] = str(value)
    return facets


def _without(outcome: Stored, new: Collection[str]) -> Stored:
    issues = tuple(
        replace(issue, evidence=tuple(id for id in issue.evidence if id not in new)) for issue in outcome.issues
    )
    return Stored(None if outcome.id in new else outcome.id, outcome.status, issues)
