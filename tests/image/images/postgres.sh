#!/bin/bash
# Create the database at the first start, then run the server.
set -euo pipefail
export PATH=/usr/lib/postgresql/17/bin:$PATH PGDATA=/var/lib/postgresql/data
if [ ! -s $PGDATA/PG_VERSION ]; then
    initdb --username "$POSTGRES_USER" --pwfile <(printf %s "$POSTGRES_PASSWORD") --auth-host scram-sha-256 --auth-local trust
    echo "host all all all scram-sha-256" >>$PGDATA/pg_hba.conf
    pg_ctl -D $PGDATA -o "-c listen_addresses= -k /tmp" -w start
    createdb -h /tmp --username "$POSTGRES_USER" "$POSTGRES_USER"
    pg_ctl -D $PGDATA -w stop
fi
exec postgres -c listen_addresses="*" -k /tmp
