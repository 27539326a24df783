# Debian's Redis, listening as in the official image. For tests on machines that reach no registry of images.
FROM docker.io/library/debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* && mkdir -p /data && chown redis /data
RUN printf '%s\n' '#!/bin/sh' 'exec "$@" --bind 0.0.0.0 --protected-mode no' > /entry.sh && chmod 755 /entry.sh
USER redis
WORKDIR /data
ENTRYPOINT ["/entry.sh"]
CMD ["redis-server"]
