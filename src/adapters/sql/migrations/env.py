"""Alembic's way in: it runs on the connection that adapters.sql.schema opened and locked."""

from alembic import context

from adapters.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction is the transaction
    render_as_batch=True,
)
context.run_migrations()
