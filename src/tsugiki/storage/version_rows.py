"""Versions and snapshots between their tables and the domain."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from tsugiki.domain import Json, MethodName, NewVersion, Snapshot, Version
from tsugiki.storage.tables import SnapshotRow, VersionRow


def version_row(
    new: NewVersion, number: int, adaptation_id: str, graft_sha: str, evaluation_sha: str, bytes: int, now: datetime
) -> VersionRow:
    return VersionRow(
        project_id=new.snapshot.project_id,
        number=number,
        adaptation_id=adaptation_id,
        digest=graft_sha,
        evaluation=evaluation_sha,
        bytes=bytes,
        method=new.graft.method,
        backbone=new.backbone,
        feature_space=new.graft.feature_space,
        labels=list(new.graft.head.labels),
        snapshot=new.snapshot.id,
        metrics=new.metrics,
        lineage=new.lineage,
        created_at=now,
    )


def read_version(row: VersionRow) -> Version:
    return Version(
        project_id=row.project_id,
        number=row.number,
        digest=row.digest,
        method=cast(MethodName, row.method),
        backbone=row.backbone,
        feature_space=row.feature_space,
        labels=tuple(row.labels),
        snapshot=row.snapshot,
        metrics=row.metrics,
        lineage=row.lineage,
        created_at=row.created_at,
    )


def snapshot_row(snapshot: Snapshot, now: datetime) -> SnapshotRow:
    return SnapshotRow(
        id=snapshot.id,
        project_id=snapshot.project_id,
        digest=snapshot.digest,
        content=snapshot_content(snapshot),
        created_at=now,
    )


def read_snapshot(row: SnapshotRow) -> Snapshot:
    return snapshot_of(row.id, row.project_id, row.content)


def snapshot_content(snapshot: Snapshot) -> Json:
    return {
        "sample_ids": list(snapshot.sample_ids),
        "labels": list(snapshot.labels),
        "targets": list(snapshot.targets),
        "folds": list(snapshot.folds),
        "groups": list(snapshot.groups),
        "holdout": snapshot.holdout,
        "combinations": snapshot.combinations,
    }


def snapshot_of(id: str, project_id: str, content: Json) -> Snapshot:
    return Snapshot(
        id=id,
        project_id=project_id,
        sample_ids=tuple(content["sample_ids"]),
        labels=tuple(content["labels"]),
        targets=tuple(content["targets"]),
        folds=tuple(content["folds"]),
        groups=tuple(content["groups"]),
        holdout=content["holdout"],
        combinations=None if (sets := content["combinations"]) is None else tuple(map(tuple, sets)),
    )
