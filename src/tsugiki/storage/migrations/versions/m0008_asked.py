"""Which request an adaptation came with."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adaptations", sa.Column("asked", sa.JSON(), nullable=True))
