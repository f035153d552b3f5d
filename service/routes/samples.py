"""Samples: added by the thousand, listed, given back, relabelled, deleted."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from service import replies
from service.edge import (
    After,
    Annotating,
    Limit,
    Reply,
    StrictRoute,
    documented,
    invalid,
    parse,
)
from service.forms import SAMPLES_FORM, samples_form
from service.intake import batch_reply, check_samples
from service.replies import ListReply, SampleReply
from service.schemas import MAX_ROWS, LabelChange, SampleIn, SamplesIn
from service.strict_json import read_json
from tsugiki.data.text import clean_told
from tsugiki.errors import Invalid, Issue
from tsugiki.media import media_type

router = APIRouter(prefix="/v1/projects/{p}/samples", route_class=StrictRoute, tags=["samples"])

BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": SamplesIn.model_json_schema(ref_template="#/components/schemas/{model}")},
        "application/x-ndjson": {"schema": {"type": "string", "description": "one sample a line"}},
        "multipart/form-data": {"schema": SAMPLES_FORM},
    },
}


@router.post("", responses=documented(dict[str, Any], 404, 409, 413, 415, 507), openapi_extra={"requestBody": BODY})
def add(
    by: Annotating,
    p: str,
    request: Request,
    on_error: Literal["skip", "fail"] = "skip",
    validate_only: bool = False,
) -> Reply:
    """Store samples, each with or without a label. Bad rows are reported in place, be it all of them; with
    `on_error=fail` one is a 422, and none is stored.

    Files go as a form, each followed by what is told of it (`curl -F file=@a.jpg -F label=ants -F file=@b.jpg -F
    label=bees`), or in JSON as base64.
    """
    project = by.project(p)
    checked = check_samples(_rows(request), project.task, project.modality, by.core.decoder, label_required=False)
    if checked.refused and on_error == "fail":
        raise checked.refusal()
    store = by.core.samples.preview if validate_only else by.core.samples.add
    stored = store(project.id, checked.good)
    return Reply(batch_reply(by.core, checked, stored, project))


@router.get("", responses=documented(ListReply, 404))
def list_samples(
    by: Annotating,
    p: str,
    label: Annotated[str | None, Query(max_length=256)] = None,
    source: Annotated[str | None, Query(max_length=256)] = None,
    issue: Annotated[str | None, Query(max_length=64)] = None,
    after: After = None,
    limit: Limit = 100,
) -> Reply:
    """The project's samples, oldest first; filtered by label, source, or the code of an issue."""
    project = by.project(p)
    found = by.core.samples.list(project.id, label, source, issue, after, limit)
    return Reply(replies.page(found, partial(replies.sample, modality=project.modality)))


@router.get("/{s}", responses=documented(SampleReply, 404))
def get(by: Annotating, p: str, s: str) -> Reply:
    project = by.project(p)
    return Reply(replies.sample(by.core.samples.get(project.id, s), project.modality))


@router.get(
    "/{s}/content",
    responses={**documented(str, 404), 200: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}},
)
def content(by: Annotating, p: str, s: str) -> Response:
    """The input as it was sent: the file, or the text. To be saved, not shown: it is a stranger's."""
    project = by.project(p)
    sample = by.core.samples.get(project.id, s)
    headers = {
        "content-disposition": f'attachment; filename="{sample.id}"',
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox",
    }
    if project.modality == "text":
        return Response(sample.content, 200, headers, "text/plain")
    data = by.core.blobs.get(project.id, sample.content)
    return Response(data, 200, headers, media_type(data))


@router.delete("/{s}", responses=documented(SampleReply, 404, 507))
def delete(by: Annotating, p: str, s: str) -> Reply:
    """Delete a sample and its features; versions trained on it stay until the project is adapted anew."""
    project = by.project(p)
    sample = by.core.samples.get(project.id, s)
    by.core.samples.delete(project.id, s)
    if not by.core.samples.forget():
        by.core.upkeep.wake()
    return Reply(replies.sample(sample, project.modality))


@router.put("/{s}/label", responses=documented(SampleReply, 404, 409, 413, 415, 507))
def relabel(by: Annotating, p: str, s: str, wish: LabelChange) -> Reply:
    """Change the label, or the labels, the only part of a sample that may change."""
    project = by.project(p)
    label = clean_told(wish.label, wish.labels, "", project.task)
    if label is None:
        raise Invalid("no label was given", code="label_missing", fix="send label, or labels")
    return Reply(replies.sample(by.core.samples.set_label(project.id, s, label), project.modality))


def _rows(request: Request) -> list[SampleIn]:
    body: bytes = request.state.body
    match request.state.content_type:
        case "application/x-ndjson":
            return _lines(body)
        case "multipart/form-data":
            return samples_form(body, request.headers["content-type"])
        case _:
            return parse(SamplesIn, body).samples


def _lines(body: bytes) -> list[SampleIn]:
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    if not 0 < len(lines) <= MAX_ROWS:
        raise Invalid(f"the body has {len(lines):,} lines, 1 to {MAX_ROWS:,} are accepted", code="rows_out_of_range")
    return [_line(row, number, line) for row, (number, line) in enumerate(lines)]


def _line(row: int, number: int, line: bytes) -> SampleIn:
    """`row` counts the samples from 0, as all that is told of them does; `number` the lines from 1, as editors do."""
    try:
        given = read_json(line)
    except Invalid as refused:
        detail = f"line {number}: {refused.detail}"
        issues = [Issue(refused.reason, f"/samples/{row}", detail)]
        raise Invalid(detail, code=refused.reason, fix=refused.fix, issues=issues) from None
    try:
        return SampleIn.model_validate(given)
    except ValidationError as error:
        found = invalid(list(error.errors(include_url=False, include_input=False)), 0)
        issues = [Issue(issue.code, f"/samples/{row}{issue.pointer}", issue.detail) for issue in found.issues]
        raise Invalid(f"line {number}: {found.detail}", issues=issues) from None
