#!/usr/bin/env bash
# Builds Siteferry's images with the Docker engine of this machine.
#
#   scripts/images.sh                      on debian:stable-slim, from a registry
#   scripts/images.sh --bootstrap          on a Debian made here by debootstrap (needs root): without a registry
#   BASE=debian:13-slim scripts/images.sh  on another base
#   scripts/images.sh --sources            prints what the label siteferry.sources of images from here says
#
# VERSION names them (default: that of pyproject.toml); `latest` names the newest too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
VERSION="${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}"
SUITE="${SUITE:-bookworm}"
LOCAL="/usr/local/share/ca-certificates"

die() {
  printf 'images: %s\n' "$*" >&2
  exit 1
}

# Debian as its own mirror has it, with nothing of this machine in it. `root` is global: the trap outlives this function.
bootstrap() {
  [ "$(id -u)" = 0 ] || die "only root can make a base with debootstrap: use sudo, or a base from a registry"
  command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
  root="$(mktemp -d)"
  trap 'rm -rf --one-file-system "$root"' EXIT
  debootstrap --variant=minbase "$SUITE" "$root" >&2 || die "debootstrap failed: see above"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
  tar -C "$root" -c . | docker import - "$1" >/dev/null
}

# A hash of all that goes into the images.
sources() {
  find Dockerfile pyproject.toml requirements.lock scripts/runtime-lock.py siteferry services shared connector cell \
    -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
}

if [ "${1:-}" = --sources ]; then
  sources
  exit 0
fi
command -v docker >/dev/null || die "docker is missing: see https://docs.docker.com/engine/install/"
docker version >/dev/null 2>&1 || die "no Docker engine answers: start it, or set DOCKER_HOST"
case "${1:-}" in
--bootstrap)
  BASE="siteferry-base:$SUITE"
  docker image inspect "$BASE" >/dev/null 2>&1 || bootstrap "$BASE"
  ;;
'') ;;
-h | --help)
  sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 0
  ;;
*) die "unknown argument $1; try --help" ;;
esac
for target in siteferry siteferry-cells siteferry-mariadb; do
  docker build --quiet --target "$target" --tag "$target:$VERSION" --tag "$target:latest" \
    --build-arg "BASE=${BASE:-debian:stable-slim}" \
    --build-arg "AUTHORITIES=$(cat "$LOCAL"/*.crt 2>/dev/null || true)" \
    --label "org.opencontainers.image.version=$VERSION" \
    --label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --label "siteferry.sources=$(sources)" . >/dev/null
  printf '%s %s\n' "$target:$VERSION" "$(docker image inspect --format '{{.Size}}' "$target:$VERSION" | numfmt --to=si)"
done
