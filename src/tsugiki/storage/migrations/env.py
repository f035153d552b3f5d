"""How Alembic runs inside `Database.migrate`: on the connection, and in the transaction, it was handed."""

from alembic import context

from tsugiki.storage.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite can, Alembic assumes it cannot; half a migration must not be left behind
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
