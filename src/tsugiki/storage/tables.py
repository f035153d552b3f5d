"""The tables, as the newest migration leaves them. Rows stay inside this package: stores hand out domain nouns."""

import json
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tsugiki.domain import Json
from tsugiki.errors import Invalid

CASCADE = "CASCADE"  # a project's rows go with it: one DELETE erases them all
Size = BigInteger().with_variant(Integer(), "sqlite")  # of bytes: a large network's do not fit into 32 bits
to_json = partial(json.dumps, ensure_ascii=False, allow_nan=False)  # NaN is not JSON to every database


class Moment(TypeDecorator[datetime]):
    """Aware UTC times in the domain, naive UTC in the database: SQLite keeps no offset."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a naive time reached storage: this is a bug")
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


def refuse_nul(text: str) -> None:
    """Raises Invalid `nul_character`: SQLite would keep one, PostgreSQL does not."""
    if "\0" in text:
        raise Invalid("A text must not hold a NUL character.", fix="Leave it out.", code="nul_character")


class Words(TypeDecorator[str]):
    """Text as every database takes it. Raises Invalid `nul_character`."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None:
            refuse_nul(value)
        return value


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: Moment,
        str: Words,
        Json: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        list[Json]: JSON(none_as_null=True),
        bytes: LargeBinary,
    }


class TenantRow(Base):
    __tablename__ = "tenants"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    operator: Mapped[bool]
    quota: Mapped[Json]
    created_at: Mapped[datetime]


class KeyRow(Base):
    __tablename__ = "keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete=CASCADE), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)  # sha256 of the secret, hex
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ProjectRow(Base):
    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete=CASCADE))
    name: Mapped[str]
    modality: Mapped[str]
    task: Mapped[str]
    backbone: Mapped[str]
    labels: Mapped[list[Json]]
    policy: Mapped[Json]
    backbone_open: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime]


class SampleRow(Base):
    __tablename__ = "samples"
    __table_args__ = (
        UniqueConstraint("project_id", "content_sha", "label"),  # rows without a label do not collide here
        Index(None, "project_id", "label", "id"),
        Index(None, "project_id", "bytes"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete=CASCADE))
    content: Mapped[str]
    content_sha: Mapped[str]
    group: Mapped[str]
    label: Mapped[str | None]
    external_id: Mapped[str | None]
    source: Mapped[str | None]
    extra: Mapped[Json] = mapped_column("metadata")  # `metadata` is taken by the mapper
    bytes: Mapped[int] = mapped_column(Size, server_default="0")  # of the file, where it is one
    measures: Mapped[Json | None]  # ditto: what it is like
    status: Mapped[str]
    issues: Mapped[list[Json]]
    created_at: Mapped[datetime]


class ReviewRow(Base):
    """Somebody looked at the sample and kept it: holds for these codes, and while it has the label it had then."""

    __tablename__ = "reviews"
    sample_id: Mapped[str] = mapped_column(ForeignKey("samples.id", ondelete=CASCADE), primary_key=True)
    label: Mapped[str | None]
    codes: Mapped[list[str]]
    actor: Mapped[str]
    at: Mapped[datetime]


class FeatureRow(Base):
    __tablename__ = "features"
    sample_id: Mapped[str] = mapped_column(ForeignKey("samples.id", ondelete=CASCADE), primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    vector: Mapped[bytes]  # float32, little-endian


class SnapshotRow(Base):
    __tablename__ = "snapshots"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete=CASCADE), index=True)
    digest: Mapped[str]
    content: Mapped[Json]
    created_at: Mapped[datetime]


class AdaptationRow(Base):
    __tablename__ = "adaptations"
    __table_args__ = (Index(None, "project_id", "id"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete=CASCADE))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete=CASCADE))
    status: Mapped[str] = mapped_column(index=True)
    phase: Mapped[str]
    request: Mapped[Json]
    fraction: Mapped[float]
    attempts: Mapped[int]  # also the fencing token: only the newest attempt may write
    plan: Mapped[Json | None]
    gate: Mapped[Json | None]
    version: Mapped[int | None]
    error: Mapped[Json | None]
    timings: Mapped[Json]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    owner: Mapped[int] = mapped_column(server_default="1")  # the number of the process that has it to run
    asked: Mapped[Json | None]  # the request it came with: its id, and its span as other processes name it
    staged: Mapped[Json | None]  # sha256 of the blobs it has made so far, by what they are; None once it has ended


class EventRow(Base):
    __tablename__ = "events"
    adaptation_id: Mapped[str] = mapped_column(ForeignKey("adaptations.id", ondelete=CASCADE), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    type: Mapped[str]
    data: Mapped[Json]


class VersionRow(Base):
    __tablename__ = "versions"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete=CASCADE), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    adaptation_id: Mapped[str] = mapped_column(ForeignKey("adaptations.id", ondelete=CASCADE), unique=True)
    digest: Mapped[str]
    evaluation: Mapped[str]  # sha256 of the evaluation's blob
    bytes: Mapped[int] = mapped_column(Size, server_default="0")  # of both blobs; 0 if published before it was counted
    method: Mapped[str]
    backbone: Mapped[str]
    feature_space: Mapped[str]
    labels: Mapped[list[str]]
    snapshot: Mapped[str] = mapped_column(ForeignKey("snapshots.id", ondelete=CASCADE), index=True)
    metrics: Mapped[Json]
    lineage: Mapped[Json]
    created_at: Mapped[datetime]


class AliasRow(Base):
    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "version"], ["versions.project_id", "versions.number"], ondelete=CASCADE),
    )
    project_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    moved_at: Mapped[datetime]


class AliasMoveRow(Base):
    __tablename__ = "alias_moves"
    __table_args__ = (Index(None, "project_id", "alias", "id"),)
    id: Mapped[int] = mapped_column(Size, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete=CASCADE))
    alias: Mapped[str]
    kind: Mapped[str]  # "move" or "rollback"
    from_version: Mapped[int | None]
    to_version: Mapped[int]
    reason: Mapped[str]
    actor: Mapped[str]
    at: Mapped[datetime]


class ExportRow(Base):
    __tablename__ = "exports"
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "version"], ["versions.project_id", "versions.number"], ondelete=CASCADE),
        Index(None, "project_id", "version"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str]
    version: Mapped[int]
    precision: Mapped[str]
    abstain_below: Mapped[float | None]  # by the project's policy when it was asked for
    status: Mapped[str] = mapped_column(index=True)
    bytes: Mapped[int | None] = mapped_column(Size)
    sha256: Mapped[str | None]
    parity: Mapped[Json | None]
    latency: Mapped[Json | None]
    error: Mapped[Json | None]
    created_at: Mapped[datetime]
    owner: Mapped[int] = mapped_column(server_default="1")  # as an adaptation's


class IdempotencyRow(Base):
    __tablename__ = "idempotency"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete=CASCADE), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    # The reply may carry a project's words, so it goes when the project goes.
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id", ondelete=CASCADE), index=True)
    done: Mapped[str | None]  # the id of what it made, committed with that: a repeat finds it, though no reply was kept
    status: Mapped[int | None]  # None until a reply is kept
    content_type: Mapped[str | None]
    body: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(index=True)
    owner: Mapped[int | None] = mapped_column(
        index=True
    )  # the number of the process it runs in; None while it does not


class ChangeRow(Base):
    """No key of a project's: the row of its erasure outlives it."""

    __tablename__ = "changes"
    __table_args__ = {"sqlite_autoincrement": True}  # a number is never given again, also after pruning
    seq: Mapped[int] = mapped_column(Size, primary_key=True)
    project_id: Mapped[str]
    erased: Mapped[bool]
    at: Mapped[datetime] = mapped_column(index=True)
