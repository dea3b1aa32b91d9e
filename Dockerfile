# Siteferry's three images, from one Debian:
#
#   siteferry           the services, NATS and the command line
#   siteferry-cells     the same with PHP, nginx and bubblewrap: what clones run on (cloner, edge)
#   siteferry-mariadb   the clones' database
#
# `make images` builds all of them. BASE may be any Debian 12 or newer; scripts/images.sh makes one where there is no
# registry. Everything of Python is pinned by hash in requirements.lock, the rest by the base's Debian.
ARG BASE=debian:stable-slim

# --- the Python environment, built where it will lie ------------------------------------------------------------------
FROM ${BASE} AS build
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \
    ca-certificates python3 python3-venv
# Authorities of the machine that builds, for proxies that open TLS. They stay in this stage.
ARG AUTHORITIES=""
RUN printf '%s\n' "$AUTHORITIES" >/usr/local/share/ca-certificates/build.crt && update-ca-certificates >/dev/null 2>&1
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.lock scripts/runtime-lock.py ./
RUN python3 runtime-lock.py <requirements.lock >run.lock && python3 runtime-lock.py hatchling <requirements.lock >build.lock \
    && python3 -m venv /build && /build/bin/pip install -q --require-hashes --only-binary :all: -r build.lock \
    && python3 -m venv --without-pip /opt/siteferry \
    && /build/bin/pip --python /opt/siteferry/bin/python install -q --require-hashes --only-binary :all: -r run.lock
COPY . .
RUN /build/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/siteferry/bin/python install -q --no-deps /wheels/*.whl \
    && cp siteferry/compose/check.py /opt/siteferry/check.py

# --- Debian's part of each image, which changes less often than ours ---------------------------------------------------
FROM ${BASE} AS system
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \
    ca-certificates python3 tzdata && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt
# Numbers, not names, cross the borders of containers: secrets are readable by those of siteferry/compose/accounts.py.
# A new volume takes owner and mode of the directory it covers, whichever container comes first.
RUN groupadd -g 10006 mysql && useradd -u 10006 -g 10006 -M -d /nonexistent -s /usr/sbin/nologin mysql \
    && install -d -m 0711 /var/lib/siteferry /var/lib/siteferry/clones /var/lib/siteferry/cells /var/lib/siteferry/caddy \
    && install -d -m 0700 -o 10005 -g 10005 /var/lib/siteferry/nats \
    && install -d -m 0711 -o 10006 -g 10006 /var/lib/siteferry/mariadb /var/lib/siteferry/mariadb/run \
    && install -d -m 0755 /run/siteferry
ENV PATH=/opt/siteferry/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
LABEL org.opencontainers.image.title="Siteferry" \
    org.opencontainers.image.description="Clone and restore WordPress sites" \
    org.opencontainers.image.licenses="GPL-2.0-or-later"
WORKDIR /

FROM system AS system-cells
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \
    bubblewrap nginx php-cli php-curl php-fpm php-gd php-intl php-mbstring php-mysql php-xml php-zip \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt /var/www

FROM system AS system-mariadb
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends mariadb-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt /var/lib/mysql

# --- the images -------------------------------------------------------------------------------------------------------
FROM system AS siteferry
COPY --from=build /opt/siteferry /opt/siteferry
USER 10000:10000
CMD ["siteferry", "--help"]

FROM system-mariadb AS siteferry-mariadb
COPY --from=build /opt/siteferry /opt/siteferry
USER 10006:10006
CMD ["python", "-m", "siteferry.compose", "mariadb"]

# In a cluster a clone is planned before its database exists.
FROM siteferry-mariadb AS dialect
RUN python -m siteferry.pod dialect /tmp/dialect.json

FROM system-cells AS siteferry-cells
COPY --from=build /opt/siteferry /opt/siteferry
COPY --from=dialect /tmp/dialect.json /opt/siteferry/dialect.json
CMD ["python", "-m", "siteferry.compose", "edge"]
