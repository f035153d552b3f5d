"""What a version's files weigh, and which request an adaptation was made by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adaptations", sa.Column("fingerprint", sa.String(), nullable=True))
    op.add_column("versions", sa.Column("bytes", sa.Integer(), nullable=False, server_default="0"))
