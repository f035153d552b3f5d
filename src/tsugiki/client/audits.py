"""What to do about the findings of an audit, which `versions.audit` tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tsugiki.client.projects import path_of
from tsugiki.client.replies import Project
from tsugiki.client.transport import Json, Transport

MAX_FIXES = 1_000  # of one request


@dataclass(frozen=True, slots=True)
class Audits:
    transport: Transport

    def relabel(self, project: str | Project, labels: Mapping[str, str | Sequence[str]]) -> Json:
        """Gives samples, by id, the label that is right, or where they may have several the list of them."""
        right = {sample: label if isinstance(label, str) else list(label) for sample, label in labels.items()}
        return self.fix(
            project, [{"sample": sample, "action": "relabel", "label": label} for sample, label in right.items()]
        )

    def drop(self, project: str | Project, samples: Iterable[str]) -> Json:
        return self.fix(project, [{"sample": sample, "action": "drop"} for sample in samples])

    def keep(self, project: str | Project, samples: Iterable[str], *, codes: Sequence[str] | None = None) -> Json:
        """Says that samples are right as they are: not reported again, for `codes` or at all, while the label stays."""
        given: Json = {} if codes is None else {"codes": list(codes)}
        return self.fix(project, [{"sample": sample, "action": "keep", **given} for sample in samples])

    def fix(self, project: str | Project, fixes: Iterable[Json]) -> Json:
        """Any mix of decisions, as the interface has them, in chunks of at most 1,000; each row says what became of it.

        TsugikiProblem 422 where a whole chunk is rejected.
        """
        rows = list(fixes)
        total: Json = {"object": "fix.batch", "applied": 0, "unchanged": 0, "rejected": 0, "data": []}
        for start in range(0, len(rows), MAX_FIXES):
            part = rows[start : start + MAX_FIXES]
            reply = self.transport.post(f"{path_of(project)}/audit/fixes", {"fixes": part})
            total |= {status: total[status] + reply[status] for status in ("applied", "unchanged", "rejected")}
            total["data"] += [{**row, "index": start + row["index"]} for row in reply["data"]]
        return total
