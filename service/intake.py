"""Samples on their way in: checked row by row, reported row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from adapters import selection
from service import replies
from service.schemas import SampleIn
from tsugiki.data.files import clean_file
from tsugiki.data.text import RowRefused, check_sample, clean_text
from tsugiki.domain import NewSample
from tsugiki.errors import Invalid
from tsugiki.jobs.profiling import named_labels, profile_of

if TYPE_CHECKING:
    from service.core import Core
    from tsugiki.data.decoding import Decoder
    from tsugiki.domain import Modality, Project, Task
    from tsugiki.ports import Method
    from tsugiki.storage.samples import Stored


@dataclass(frozen=True, slots=True)
class Checked:
    """`rows[i]` is what became of row i of the request: a sample to store, or why not."""

    rows: tuple[NewSample | RowRefused, ...]

    @property
    def good(self) -> list[NewSample]:
        return [row for row in self.rows if isinstance(row, NewSample)]

    @property
    def refused(self) -> list[RowRefused]:
        return [row for row in self.rows if isinstance(row, RowRefused)]

    def refusal(self) -> Invalid:
        """The refusal of the whole request, with every refused row's issues."""
        issues = [issue for row in self.refused for issue in row.issues]
        what = (
            "no sample"
            if not self.good
            else f"{len(self.refused)} of {len(self.rows)} samples cannot be accepted, so none"
        )
        return Invalid(f"{what} was stored: {issues[0].detail}", code=issues[0].code, fix=issues[0].fix, issues=issues)


def check_samples(
    samples: Sequence[SampleIn], task: Task, modality: Modality, decoder: Decoder, *, label_required: bool
) -> Checked:
    """Blocks while files among them are read."""
    clean = clean_text if modality == "text" else partial(clean_file, modality=modality, decoder=decoder)

    def check(row: tuple[int, SampleIn]) -> NewSample | RowRefused:
        index, sample = row
        try:
            return check_sample(
                sample.model_dump(), f"/samples/{index}", label_required=label_required, task=task, clean=clean
            )
        except RowRefused as refused:
            return refused

    rows = list(enumerate(samples))
    return Checked(tuple(map(check, rows) if modality == "text" else decoder.map(check, rows)))


def batch_reply(core: Core, checked: Checked, stored: Sequence[Stored], project: Project) -> dict[str, Any]:
    """The `sample.batch` object; `stored` holds the outcomes of the good rows, in order."""
    outcomes = iter(stored)
    data: list[dict[str, Any]] = []
    for index, row in enumerate(checked.rows):
        if isinstance(row, RowRefused):
            issues = [replies.issue(issue) for issue in row.issues]
            data.append({"index": index, "status": "rejected", "id": None, "issues": issues})
            continue
        outcome = next(outcomes)
        found = [replace(issue, pointer=f"/samples/{index}{issue.pointer}") for issue in outcome.issues]
        issues = [replies.issue(issue) for issue in found]
        data.append({"index": index, "status": outcome.status, "id": outcome.id, "issues": issues})
    states = [row["status"] for row in data]
    return {
        "object": "sample.batch",
        "accepted": states.count("accepted"),
        "duplicates": states.count("duplicate"),
        "quarantined": states.count("quarantined"),
        "rejected": states.count("rejected"),
        "data": data,
        "readiness": readiness(core.methods, core.samples.counts(project.id), project),
    }


def readiness(methods: Sequence[Method], counts: Mapping[str, int], project: Project) -> dict[str, Any]:
    """What the labelled samples of a project allow, of the `methods` there are, and what the next one would need."""
    profile = profile_of(counts, None, named_labels(project), project.task, project.modality)
    found = selection.readiness(methods, profile)
    return {
        "labels": profile.labels,
        "min_per_label": profile.min_per_label,
        "method_now": found.method_now,
        "next": {"method": found.next_method, "needs": found.needs},
    }
