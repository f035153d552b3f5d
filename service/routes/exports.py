"""Exports: a version as files that run without this service."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from service import replies
from service.edge import Adapting, Caller, Knowing, Predicting, Reply, StrictRoute, documented
from service.replies import ExportReply
from service.routes.versions import Number
from service.schemas import ExportIn
from tsugiki.domain import UNFINISHED, Export, Project
from tsugiki.errors import Conflict

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["exports"])

LOOK_EVERY_S = 0.25  # at an export that another process makes: a read of one row, beside seconds of work


@router.post(
    "/projects/{p}/versions/{v}/exports",
    responses={**documented(ExportReply, 404, 409, 413, 415, 507), 202: {"model": ExportReply}},
)
async def start(by: Adapting, p: str, v: Number, wish: ExportIn = ExportIn()) -> Reply:
    """Export a version. One that was exported with this precision before answers 200 at once."""
    project, export = await asyncio.to_thread(_begun, by, p, v, wish)
    if export.status in UNFINISHED:
        waits_until = time.monotonic() + wish.wait_seconds
        done = asyncio.wrap_future(by.core.exporting.submit(project, export))
        await asyncio.wait([done], timeout=wish.wait_seconds)
        export = await asyncio.to_thread(by.core.exports.get, by.tenant_id, export.id)
        # Another process's is over with at once here: it is looked at until it has ended there.
        while export.status in UNFINISHED and time.monotonic() < waits_until and not by.core.draining.is_set():
            await asyncio.sleep(LOOK_EVERY_S)
            export = await asyncio.to_thread(by.core.exports.get, by.tenant_id, export.id)
    return Reply(replies.export(export), 202 if export.status in UNFINISHED else 200)


@router.get("/exports/{e}", responses=documented(ExportReply, 404))
def get(by: Knowing, e: str) -> Reply:
    """The export with its certificate of parity."""
    return Reply(replies.export(by.core.exports.get(by.tenant_id, e)))


@router.get("/exports/{e}/content", responses={**documented(str, 404, 409), 200: {"content": {"application/zip": {}}}})
def content(by: Predicting, e: str) -> Any:  # a stream of the zip
    """The zip."""
    export = by.core.exports.get(by.tenant_id, e)
    if export.status != "succeeded" or export.sha256 is None:
        raise Conflict(
            f"the export is {export.status}: there is no file", code="export_not_ready", fix="see GET /v1/exports/{e}"
        )
    headers = {
        "content-length": str(export.bytes),
        "content-disposition": f'attachment; filename="{export.id}.zip"',
        "x-content-sha256": export.sha256,
    }
    return StreamingResponse(by.core.blobs.open(export.project_id, export.sha256), 200, headers, "application/zip")


def _begun(by: Caller, p: str, v: int, wish: ExportIn = ExportIn()) -> tuple[Project, Export]:
    project = by.project(p)
    by.core.exporting.admit(by.tenant_id)
    by.core.tenants.require_room(by.tenant_id)
    below = by.core.directory.abstain_below(project, by.core.registry.get(project.id, v))
    return project, by.core.exports.begin(project.id, v, wish.precision, below)
