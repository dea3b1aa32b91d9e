#!/usr/bin/env bash
# Makes a bare Debian or Ubuntu system in a directory, or finds it made, and prints the directory. Needs root.
#
#   scripts/base-system.sh trixie                 a minimal Debian 13
#   scripts/base-system.sh sid mysql-server-core  with packages on top
#   MIRROR=http://… scripts/base-system.sh noble  from a mirror that this machine does not know
#
# Kept below ${XDG_CACHE_HOME:-~/.cache}/siteferry/systems, named by a hash of suite and packages; made anew after 30
# days. Mirrors, proxies and authorities are those of this machine; they stay in the cache and go nowhere else.
set -euo pipefail
unset TMPDIR # what is ours is not there in the system

CACHE="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/siteferry/systems"
DAYS=30
# Raise it when systems are made in another way: those kept are made anew.
RECIPE=1
SCRIPTS=/usr/share/debootstrap/scripts
# What any machine has on which somebody types `make`.
ALWAYS=(ca-certificates git make sudo)

die() {
  printf 'base-system: %s\n' "$*" >&2
  exit 1
}

# Where this machine's apt gets `debian`, `debian-security` or `ubuntu` from; nothing when it gets none of it.
mirror() {
  # shellcheck disable=SC2016 # the variables are apt's
  apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
    awk -v label="$1" 'tolower($2) == label && !found { print $1; found = 1 }'
}

# Updates and security updates: a new machine has them, and packages may depend on what came with them.
sources() {
  local suite="$1" from="$2" security
  case "$suite" in
  sid) ;;
  noble | jammy) printf 'deb %s %s main universe\n' "$from" "$suite" "$from" "$suite-updates" ;;
  *)
    security="$(mirror debian-security)"
    printf 'deb %s %s-updates main\n' "$from" "$suite"
    [ -z "$security" ] || printf 'deb %s %s-security main\n' "$security" "$suite"
    ;;
  esac
}

# Proxies, authorities and patience of this machine's apt.
carry_over() {
  local system="$1"
  apt-config dump 2>/dev/null | grep -E '^Acquire::(https?|Check|Retries|ftp)' \
    >"$system/etc/apt/apt.conf.d/90machine" || true
  printf 'force-unsafe-io\n' >"$system/etc/dpkg/dpkg.cfg.d/unsafe-io" # gone with the next hash: no need to sync
  cp -rL /usr/local/share/ca-certificates/. "$system/usr/local/share/ca-certificates/" 2>/dev/null || true
  cp -L /etc/resolv.conf "$system/etc/resolv.conf"
  chroot "$system" update-ca-certificates >/dev/null 2>&1
}

make_system() {
  local suite="$1" system="$2" from script='' distribution=debian
  shift 2
  case "$suite" in noble | jammy) distribution=ubuntu ;; esac
  from="${MIRROR:-$(mirror "$distribution")}"
  # Without a mirror debootstrap takes the one it knows; a suite newer than it is made as the one before.
  if [ "$distribution" = ubuntu ] && [ ! -e "$SCRIPTS/$suite" ]; then
    script="$SCRIPTS/jammy"
    from="${from:?MIRROR names the mirror of Ubuntu, which this debootstrap does not know for $suite}"
  fi
  debootstrap --variant=minbase --include="$(IFS=,; echo "${ALWAYS[*]}")" "$suite" "$system" \
    ${from:+"$from"} ${script:+"$script"} >&2 || die "debootstrap failed: see above"
  from="$(awk '$1 == "deb" { print $2; exit }' "$system/etc/apt/sources.list")"
  sources "$suite" "$from" >>"$system/etc/apt/sources.list"
  carry_over "$system"
  if [ "$#" -gt 0 ]; then
    printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d"
    chmod 755 "$system/usr/sbin/policy-rc.d"
    chroot "$system" apt-get -q update >&2
    chroot "$system" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 \
      install --no-install-recommends "$@" >&2 || die "apt-get install failed: see above"
    chroot "$system" apt-get clean
  fi
}

case "${1:-}" in
-h | --help | '')
  sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 0
  ;;
esac
[ "$(id -u)" = 0 ] || die "only root can make a system: use sudo"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
# What is mounted on the way goes with the process, however that ends; so do its children.
if [ "${BASE_SYSTEM_INSIDE:-}" = '' ]; then
  exec env BASE_SYSTEM_INSIDE=yes unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
    "${BASH_SOURCE[0]}" "$@"
fi
suite="$1"
shift
hash="$(printf '%s\n' "$RECIPE" "$suite" "${ALWAYS[@]}" "$@" | sha256sum | cut -c1-12)"
system="$CACHE/$suite-$hash"
mkdir -p "$CACHE"
exec 9>"$CACHE/$suite-$hash.lock"
flock 9
find "$CACHE" -mindepth 1 -maxdepth 1 -type d -mtime "+$DAYS" -exec rm -rf --one-file-system {} +
if [ ! -d "$system" ]; then
  rm -rf --one-file-system "$system.new"
  make_system "$suite" "$system.new" "$@"
  touch "$system.new"
  mv "$system.new" "$system"
fi
printf '%s\n' "$system"
