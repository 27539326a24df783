# The image of wxlogin. `make image` builds it; docs/containers.md says how to run it.
ARG BASE=docker.io/library/debian:trixie-slim

FROM ${BASE} AS build
# A mirror of PyPI: `--build-arg PIP_INDEX_URL=...`.
ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008 # Debian's stable release changes a package for security only
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils ca-certificates python3 python3-venv
WORKDIR /src
COPY requirements/pip.txt requirements/build.txt requirements/runtime.txt requirements/
RUN python3 -m venv /build && python3 -m venv /opt/wxlogin \
    && for venv in /build /opt/wxlogin; do $venv/bin/pip install --require-hashes --requirement requirements/pip.txt; done \
    && /build/bin/pip install --require-hashes --only-binary :all: --requirement requirements/build.txt \
    && /opt/wxlogin/bin/pip install --require-hashes --only-binary :all: --requirement requirements/runtime.txt
COPY LICENSE README.md pyproject.toml ./
COPY src src
COPY sandbox sandbox
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels ./sandbox . \
    && /opt/wxlogin/bin/pip install --no-deps /wheels/*.whl
# The image needs no installer, C source, type stub, debug symbol or library's tests, and one API browser of three.
# Litestar needs polyfactory only to invent examples for the API's schema, which wxlogin does not do.
RUN /opt/wxlogin/bin/pip uninstall --yes faker polyfactory setuptools pip \
    && find /opt/wxlogin -regex '.*\.\(c\|cpp\|h\|hpp\|pyi\|pyx\|pxd\)' -delete \
    && find /opt/wxlogin -type d \( -name testing -o -name tests \) -prune -exec rm -r {} + \
    && find /opt/wxlogin -name '*.so*' -exec strip --strip-unneeded {} + \
    && rm /opt/wxlogin/bin/[Aa]ctivate* /opt/wxlogin/lib/python3*/site-packages/offapi/{redoc,scalar}.js

FROM ${BASE}
ARG VERSION=0
LABEL org.opencontainers.image.title="wxlogin" \
      org.opencontainers.image.description="The login service of WeChat mini-programs" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
# hadolint ignore=DL3008 # Debian's stable release changes a package for security only
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /usr/share/doc/* /usr/share/man/* \
    && install --directory --owner 10001 --group 0 --mode 0770 /data
COPY --from=build /opt/wxlogin /opt/wxlogin
# /dev/shm is writable also where the root file system is not: several processes count their metrics there.
ENV PATH=/opt/wxlogin/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 TMPDIR=/dev/shm
# Of the user, or of any other user in group 0. SQLite's database is in it, unless WXLOGIN_DATABASE_URL names another.
WORKDIR /data
USER 10001:0
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["wxlogin", "healthcheck"]
ENTRYPOINT ["wxlogin"]
CMD ["serve", "--host", "0.0.0.0"]
