"""What was done under an Idempotency-Key, until its reply is kept; which samples of a snapshot are nearly the same."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

snapshots = sa.table("snapshots", sa.column("id"), sa.column("content", sa.JSON))


def upgrade() -> None:
    op.add_column("idempotency", sa.Column("done", sa.String(), nullable=True))
    # What was nearly the same is not told any more: each sample is taken for a group of its own.
    for id, content in op.get_bind().execute(sa.select(snapshots.c.id, snapshots.c.content)).all():
        told = content | {"groups": list(range(len(content["sample_ids"])))}
        op.execute(sa.update(snapshots).where(snapshots.c.id == id).values(content=told))
