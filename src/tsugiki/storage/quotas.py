"""What a tenant has, and whether more fits: asked in the transaction that stores it, so that two at once cannot."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tsugiki.domain import NewSample
from tsugiki.errors import TooLarge
from tsugiki.storage.adaptation_rows import LOCKED
from tsugiki.storage.tables import ExportRow, ProjectRow, SampleRow, TenantRow, VersionRow


def usage(session: Session, tenant_id: str) -> dict[str, int]:
    """How many projects, samples and versions the tenant has, and the bytes of its files, versions and exports.

    Files of equal bytes are one: a version exported anew does not count again.
    """
    mine = select(ProjectRow.id).where(ProjectRow.tenant_id == tenant_id)
    files = select(func.sum(SampleRow.bytes)).where(SampleRow.project_id.in_(mine)).scalar_subquery()
    versions = select(func.sum(VersionRow.bytes)).where(VersionRow.project_id.in_(mine)).scalar_subquery()
    zips = select(ExportRow.project_id, ExportRow.sha256, ExportRow.bytes).where(ExportRow.project_id.in_(mine))
    exports = select(func.sum(zips.distinct().subquery().c.bytes)).scalar_subquery()
    counts = {
        "projects": select(func.count()).select_from(ProjectRow).where(ProjectRow.tenant_id == tenant_id),
        "samples": select(func.count()).select_from(SampleRow).where(SampleRow.project_id.in_(mine)),
        "versions": select(func.count()).select_from(VersionRow).where(VersionRow.project_id.in_(mine)),
        "bytes": select(func.coalesce(files, 0) + func.coalesce(versions, 0) + func.coalesce(exports, 0)),
    }
    return {name: int(session.execute(query).scalar_one()) for name, query in counts.items()}


def require_room(
    session: Session, tenant_id: str, *, projects: int = 0, samples: Sequence[NewSample] = (), writing: bool = False
) -> None:
    """Raises TooLarge `quota_exceeded` when the tenant's quota does not hold so much more.

    How many bytes a version or export takes is known only afterwards: at the limit the next one is refused. `writing`
    makes others who ask so wait until this transaction ends.
    """
    tenant = session.get(TenantRow, tenant_id)
    limits = {} if tenant is None else tenant.quota
    files = sum(len(sample.file.data) for sample in samples if sample.file is not None)
    wanted = {"projects": projects, "samples": len(samples), "bytes": max(files, 1)}
    if tenant is None or not limits.keys() & wanted.keys():
        return
    if writing:
        session.refresh(tenant, with_for_update=LOCKED)
    has = usage(session, tenant_id)
    for name, more in wanted.items():
        limit = tenant.quota.get(name)
        if more and limit is not None and has[name] + more > limit:
            raise TooLarge(
                f"the tenant has {has[name]} of {limit} {name}, {more} more do not fit",
                code="quota_exceeded",
                fix=f"delete some {name}, or ask for a larger quota",
            )
