"""Samples that are files: how large they are, and what they were measured to be like."""

import sqlalchemy as sa
from alembic import op

from tsugiki.storage.tables import Size

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("samples", sa.Column("bytes", Size, nullable=False, server_default="0"))
    op.add_column("samples", sa.Column("measures", sa.JSON(), nullable=True))
