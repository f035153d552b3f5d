"""What a version's files weigh, and which request an adaptation was made by."""

import sqlalchemy as sa
from alembic import op

from tsugiki.storage.tables import Size

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adaptations", sa.Column("fingerprint", sa.String(), nullable=True))
    op.add_column("versions", sa.Column("bytes", Size, nullable=False, server_default="0"))
