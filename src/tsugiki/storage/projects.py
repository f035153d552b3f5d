"""Projects: made, found by their tenant only, and erased to the last byte."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import cast

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from tsugiki.domain import UNFINISHED, Json, Label, Modality, Policy, Project, Task
from tsugiki.errors import Conflict, NotFound, TsugikiError
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.changes import note
from tsugiki.storage.database import Database
from tsugiki.storage.idempotency import Once, already, note_done
from tsugiki.storage.pages import Page, cut, one_more
from tsugiki.storage.quotas import require_room
from tsugiki.storage.tables import AdaptationRow, ProjectRow, TenantRow

log = logging.getLogger(__name__)


class Projects:
    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def create(
        self,
        tenant_id: str,
        name: str,
        modality: Modality,
        task: Task,
        backbone: str,
        labels: Sequence[Label] = (),
        policy: Policy | None = None,
        *,
        backbone_open: bool = False,
        once: Once | None = None,
    ) -> Project:
        """A new one, or the one that a former attempt of the same request made.

        Raises Conflict `project_exists`, TooLarge `quota_exceeded`, NotFound for an unknown tenant.
        """
        row = ProjectRow(
            id=self._database.ids.new("proj"),
            tenant_id=tenant_id,
            name=name,
            modality=modality,
            task=task,
            backbone=backbone,
            labels=[asdict(label) for label in labels],
            policy=asdict(policy or Policy()),
            backbone_open=backbone_open,
            created_at=self._database.now(),
        )
        with self._database.write() as session:
            if session.get(TenantRow, tenant_id) is None:
                raise NotFound(f"There is no tenant {tenant_id!r}.")
            if (made := already(session, once)) is not None and (found := session.get(ProjectRow, made)) is not None:
                return read_project(found)
            _must_be_free(session, tenant_id, name)
            require_room(session, tenant_id, projects=1, writing=True)
            session.add(row)
            session.flush()
            note_done(session, once, row.id, row.id)
        return read_project(row)

    def get(self, tenant_id: str, ref: str) -> Project:
        """By id or by name; another tenant's is NotFound as an unknown one is."""
        with self._database.read() as session:
            return read_project(found_project(session, tenant_id, ref))

    def owned(self, project_id: str) -> Project:
        """For jobs that were accepted from its tenant, and for nobody else's asking. Raises NotFound."""
        with self._database.read() as session:
            row = session.get(ProjectRow, project_id)
            if row is None:
                raise NotFound(f"There is no project {project_id!r}.")
            return read_project(row)

    def list(self, tenant_id: str, after: str | None = None, limit: int = 100) -> Page[Project]:
        query = select(ProjectRow).where(ProjectRow.tenant_id == tenant_id, ProjectRow.id > (after or ""))
        with self._database.read() as session:
            return cut(session.scalars(query.order_by(ProjectRow.id).limit(one_more(limit))).all(), limit, read_project)

    def update(
        self,
        project_id: str,
        name: str | None = None,
        labels: Sequence[Label] | None = None,
        policy: Callable[[Policy], Policy] | None = None,
        backbone: str | None = None,
        *,
        backbone_open: bool = False,
    ) -> Project:
        """What is None stays; `backbone_open` goes with `backbone`. `policy` makes the new one of the present one.

        Raises Conflict `project_exists`, `adaptation_running` where one may still make a version on the former
        backbone, NotFound.
        """
        with self._database.write() as session:
            row = session.get(ProjectRow, project_id)
            if row is None:
                raise NotFound(f"There is no project {project_id!r}.")
            if name is not None and name != row.name:
                _must_be_free(session, row.tenant_id, name)
                row.name = name
            if labels is not None:
                row.labels = [asdict(label) for label in labels]
            if policy is not None:
                row.policy = asdict(policy(read_project(row).policy))
            if backbone is not None:
                _must_rest(session, project_id)
                row.backbone, row.backbone_open = backbone, backbone_open
            note(self._database, session, project_id)
            return read_project(row)

    def settle(self, project_id: str, backbone: str) -> Project:
        """Take the backbone where none is settled yet. Returns the project as it is then: another may have been first.

        Raises NotFound.
        """
        with self._database.write() as session:
            row = session.get(ProjectRow, project_id)
            if row is None:
                raise NotFound(f"There is no project {project_id!r}.")
            if row.backbone_open:
                row.backbone, row.backbone_open = backbone, False
                note(self._database, session, project_id)
            return read_project(row)

    def delete(self, project: Project) -> bool:
        """Erase the project: rows in one transaction, then blobs, then the log's copies of the rows.

        Once the rows are gone nothing is raised, for there is no way back: True if every byte is gone too, else
        what clears up has to erase the rest (as after a crash in between), and should be woken to do so.
        """
        with self._database.write() as session:
            session.execute(delete(ProjectRow).where(ProjectRow.id == project.id))
            note(self._database, session, project.id, erased=True)
        try:
            self._blobs.delete_owner(project.id)
            return self._database.empty_log()
        except TsugikiError as error:
            log.warning("bytes of the erased %s are left for now: %s", project.id, error.detail)
        except Exception:
            log.exception("bytes of the erased %s are left for now", project.id)
        return False


def _must_be_free(session: Session, tenant_id: str, name: str) -> None:
    taken = select(ProjectRow.id).where(ProjectRow.tenant_id == tenant_id, ProjectRow.name == name)
    if session.scalar(taken):
        raise Conflict(
            f"There is a project named {name!r} already.", fix="Use it, or choose another name.", code="project_exists"
        )


def _must_rest(session: Session, project_id: str) -> None:
    unfinished = select(AdaptationRow.id).where(
        AdaptationRow.project_id == project_id, AdaptationRow.status.in_(UNFINISHED)
    )
    found = session.scalar(unfinished.limit(1))
    if found is not None:
        raise Conflict(
            f"Adaptation {found} has not ended, and makes a version on the present backbone.",
            fix="Wait for it to end, or cancel it.",
            code="adaptation_running",
        )


# Made once: each cold prediction asks, and to put the question together took as long as to ask it.
_MINE = select(ProjectRow).where(ProjectRow.tenant_id == bindparam("tenant_id"))
_BY_ID, _BY_NAME = (_MINE.where(column == bindparam("ref")) for column in (ProjectRow.id, ProjectRow.name))


def found_project(session: Session, tenant_id: str, ref: str) -> ProjectRow:
    """By id or by name, which no other project's id can be. Raises NotFound."""
    row = session.scalar(_BY_ID if ref.startswith("proj_") else _BY_NAME, {"tenant_id": tenant_id, "ref": ref})
    if row is None:
        raise NotFound(f"There is no project {ref!r}.", fix="GET /v1/projects lists yours.")
    return row


def read_project(row: ProjectRow) -> Project:
    return Project(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        modality=cast(Modality, row.modality),
        task=cast(Task, row.task),
        backbone=row.backbone,
        labels=tuple(Label(**label) for label in row.labels),
        policy=_policy(row.policy),
        created_at=row.created_at,
        backbone_open=row.backbone_open,
    )


def _policy(stored: Json) -> Policy:
    policy = Policy(**stored)
    return replace(policy, quarantine=tuple(policy.quarantine))  # JSON has lists only
