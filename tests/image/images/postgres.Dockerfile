# Debian's PostgreSQL, with the variables of the official image. For tests on machines that reach no registry of images.
FROM docker.io/library/debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/*
COPY postgres.sh /entrypoint.sh
RUN chmod 755 /entrypoint.sh && mkdir -p /var/lib/postgresql/data && chown postgres /var/lib/postgresql/data
USER postgres
ENTRYPOINT ["/entrypoint.sh"]
