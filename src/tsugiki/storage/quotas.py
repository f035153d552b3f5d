"""What a tenant has, and whether more fits: asked in the transaction that stores it, so that two at once cannot."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tsugiki.domain import NewSample
from tsugiki.errors import TooLarge
from tsugiki.storage.adaptation_rows import LOCKED
from tsugiki.storage.tables import ExportRow, ProjectRow, SampleRow, TenantRow, VersionRow

KINDS = ("projects", "samples", "versions", "bytes")


def usage(session: Session, tenant_id: str, kinds: Collection[str] = KINDS) -> dict[str, int]:
    """How many projects, samples and versions the tenant has, and the bytes of its files, versions and exports.

    Equal bytes of versions and of exports of a project are one file: what is made anew does not count again.
    """
    mine = select(ProjectRow.id).where(ProjectRow.tenant_id == tenant_id)
    files = select(func.sum(SampleRow.bytes)).where(SampleRow.project_id.in_(mine)).scalar_subquery()
    grafts = select(VersionRow.project_id, VersionRow.digest, VersionRow.evaluation, VersionRow.bytes)
    zips = select(ExportRow.project_id, ExportRow.sha256, ExportRow.bytes)
    once = [
        select(func.sum(found.where(found.selected_columns.project_id.in_(mine)).distinct().subquery().c.bytes))
        for found in (grafts, zips)
    ]
    versions, exports = (found.scalar_subquery() for found in once)
    counts = {
        "projects": select(func.count()).select_from(ProjectRow).where(ProjectRow.tenant_id == tenant_id),
        "samples": select(func.count()).select_from(SampleRow).where(SampleRow.project_id.in_(mine)),
        "versions": select(func.count()).select_from(VersionRow).where(VersionRow.project_id.in_(mine)),
        "bytes": select(func.coalesce(files, 0) + func.coalesce(versions, 0) + func.coalesce(exports, 0)),
    }
    return {kind: int(session.execute(counts[kind]).scalar_one()) for kind in kinds}


def require_room(
    session: Session,
    tenant_id: str,
    *,
    projects: int = 0,
    samples: Sequence[NewSample] = (),
    bytes: int = 0,
    writing: bool = False,
) -> None:
    """Raises TooLarge `quota_exceeded` when the tenant's quota does not hold so much more.

    `bytes` are of a version or an export; before it is made they are not known: at the limit the next one is refused.
    `writing` makes others who ask so wait until this transaction ends.
    """
    tenant = session.get(TenantRow, tenant_id)
    if tenant is None:
        return
    files = sum(len(sample.file.data) for sample in samples if sample.file is not None)
    wanted = {"projects": projects, "samples": len(samples), "bytes": max(files + bytes, 1)}
    bounded = [kind for kind, more in wanted.items() if more and kind in tenant.quota]
    if not bounded:
        return
    if writing:
        session.refresh(tenant, with_for_update=LOCKED)
    for kind, has in usage(session, tenant_id, bounded).items():
        limit = tenant.quota.get(kind)
        if limit is not None and has + wanted[kind] > limit:
            raise TooLarge(
                f"the tenant has {has} of {limit} {kind}, {wanted[kind]} more do not fit",
                code="quota_exceeded",
                fix=f"delete some {kind}, or ask for a larger quota",
            )
