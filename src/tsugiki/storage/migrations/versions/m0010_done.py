"""What was done under an Idempotency-Key; which samples of a snapshot are nearly the same; an export's own policy."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

snapshots = sa.table("snapshots", sa.column("id"), sa.column("content", sa.JSON))


def upgrade() -> None:
    op.add_column("idempotency", sa.Column("done", sa.String(), nullable=True))
    op.add_column("exports", sa.Column("abstain_below", sa.Double[float](), nullable=True))
    op.create_index(op.f("ix_samples_project_id_bytes"), "samples", ["project_id", "bytes"], unique=False)
    # What was nearly the same is not told any more: each sample is taken for a group of its own.
    here = op.get_bind()
    for id in here.scalars(sa.select(snapshots.c.id)).all():  # one at a time: they may have 100,000 samples each
        one = sa.select(snapshots.c.content).where(snapshots.c.id == id)
        content = here.scalars(one).one()
        told = content | {"groups": list(range(len(content["sample_ids"])))}
        op.execute(sa.update(snapshots).where(snapshots.c.id == id).values(content=told))
