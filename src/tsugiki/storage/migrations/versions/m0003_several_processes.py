"""What the processes of one service tell each other: what moved, and whose a job is."""

import sqlalchemy as sa
from alembic import op

from tsugiki.storage.tables import Size

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("seq", Size, nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_changes")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_changes_at"), "changes", ["at"], unique=False)
    op.add_column("adaptations", sa.Column("owner", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("exports", sa.Column("owner", sa.Integer(), nullable=False, server_default="1"))
    # What runs now has an owner; before, one process ran everything, and it has ended.
    op.execute("DELETE FROM idempotency WHERE status IS NULL")
    op.add_column("idempotency", sa.Column("owner", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_idempotency_owner"), "idempotency", ["owner"], unique=False)
