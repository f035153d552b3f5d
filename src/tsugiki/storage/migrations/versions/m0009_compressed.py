"""Kept replies are compressed."""

import zlib

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

replies = sa.table("idempotency", sa.column("tenant_id"), sa.column("key"), sa.column("body", sa.LargeBinary))


def upgrade() -> None:
    kept = sa.select(replies.c.tenant_id, replies.c.key, replies.c.body).where(replies.c.body.is_not(None))
    for tenant_id, key, body in op.get_bind().execute(kept).all():
        one = sa.update(replies).where(replies.c.tenant_id == tenant_id, replies.c.key == key)
        op.execute(one.values(body=zlib.compress(body, 1)))
