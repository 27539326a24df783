"""Users and sessions in SQLite, PostgreSQL, MariaDB and MySQL, over SQLAlchemy."""
