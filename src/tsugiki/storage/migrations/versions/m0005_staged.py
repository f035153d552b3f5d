"""What an adaptation has made so far, for whoever goes on with it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adaptations", sa.Column("staged", sa.JSON(), nullable=True))
