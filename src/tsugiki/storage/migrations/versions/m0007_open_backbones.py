"""Projects whose backbone is still to be chosen, by their first samples."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("backbone_open", sa.Boolean(), nullable=False, server_default=sa.false()))
