"""What a version's files weigh."""

import sqlalchemy as sa
from alembic import op

from tsugiki.storage.tables import Size

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("bytes", Size, nullable=False, server_default="0"))
