#!/usr/bin/env bash
# Brings what Siteferry needs: Debian packages and the Python environment in .venv. Run it as often as you like:
# what is there already stays as it is.
#
#   scripts/install.sh          to run Siteferry
#   scripts/install.sh --dev    to work on it too: browser, make, shellcheck, debootstrap, promtool, mkfs.xfs
#
# Debian 12 or newer, Ubuntu 22.04 or newer. No service of this machine is started, stopped or enabled: Siteferry runs
# its own instances of MariaDB and PHP-FPM in its own directory.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
STAMP="$VENV/.siteferry-lock"
UV="$VENV/share/uv/bin/uv"
OLDEST_PYTHON="3.11"
PACKAGES=(php-fpm php-cli php-mysql php-xml php-mbstring php-zip php-curl php-gd php-intl mariadb-server
  wordpress python3-venv bubblewrap nginx)
DEV_PACKAGES=(make shellcheck chromium-headless-shell debootstrap prometheus xfsprogs)
CHANGED=no

say() { printf '%s\n' "$*"; }
die() {
  printf 'install: %s\n' "$*" >&2
  exit 1
}

# --- Debian packages -------------------------------------------------------------------------------------------------

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_packages() {
  local package
  for package in "$@"; do
    installed "$package" || printf '%s\n' "$package"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Runs a command again when another apt holds the lock or the network stumbles.
patiently() {
  local try
  for try in 1 2 3; do
    "$@" && return 0
    say "attempt $try of 3 failed: $*"
    sleep $((try * 5))
  done
  return 1
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@"
}

enabled_units() { find /etc/systemd/system -path '*.wants/*' \( -name '*.service' -o -name '*.timer' \) 2>/dev/null | sort; }

# While packages arrive: services that do not run yet may not start, those that run may restart.
POLICY=/usr/sbin/policy-rc.d
POLICY_IS_OURS=no
forbid_new_services() {
  [ -e "$POLICY" ] && return
  POLICY_IS_OURS=yes
  trap allow_services EXIT
  # shellcheck disable=SC2016 # the variables are those of the file written
  printf '%s\n' '#!/bin/sh' '# Written by scripts/install.sh of Siteferry for the time of one installation.' \
    'case "$2" in *start*) systemctl is-active --quiet "$1" 2>/dev/null || exit 101 ;; esac' 'exit 0' |
    as_root tee "$POLICY" >/dev/null
  as_root chmod 755 "$POLICY"
}
allow_services() {
  [ "$POLICY_IS_OURS" = yes ] || return 0
  as_root rm -f "$POLICY"
  POLICY_IS_OURS=no
}

# Debian enables what it installs for the next boot: take that back for the units that this run brought.
disable_new_units() {
  local unit
  while read -r unit; do
    unit="$(basename "$unit")"
    if command -v systemctl >/dev/null; then
      as_root systemctl disable "$unit" >/dev/null 2>&1 || say "could not keep $unit from starting at boot"
    fi
  done < <(comm -13 <(printf '%s\n' "$1") <(enabled_units))
}

install_packages() {
  local missing before
  mapfile -t missing < <(missing_packages "${PACKAGES[@]}")
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    die "this script knows Debian and Ubuntu only; elsewhere install by hand: ${missing[*]}"
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    die "these packages are missing and neither root nor sudo is at hand: ${missing[*]}
Let an administrator run: apt-get install --no-install-recommends ${missing[*]}"
  fi
  say "installing: ${missing[*]}"
  patiently apt_get update || die "apt-get update failed: see above"
  before="$(enabled_units)"
  forbid_new_services
  patiently apt_get install --no-install-recommends "${missing[@]}" || die "apt-get install failed: see above"
  allow_services
  disable_new_units "$before"
  CHANGED=yes
}

# Ubuntu has Chromium as a snap only: the browser tests are skipped there unless one is at /usr/bin/chromium.
choose_dev_packages() {
  local package
  for package in "${DEV_PACKAGES[@]}"; do
    if [ "$package" = chromium-headless-shell ] && grep -qi '^ID=ubuntu' /etc/os-release 2>/dev/null; then
      command -v chromium >/dev/null || say "no Debian-packaged Chromium on Ubuntu: browser tests will be skipped"
      continue
    fi
    PACKAGES+=("$package")
  done
}

# --- Python ----------------------------------------------------------------------------------------------------------

new_enough() {
  "$1" -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$OLDEST_PYTHON'.split('.'))))" 2>/dev/null
}

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
      command -v "$candidate"
      return 0
    fi
  done
  die "Python $OLDEST_PYTHON or newer is needed and $(python3 --version 2>&1 || true) is not.
On Ubuntu 22.04: apt-get install python3.11 python3.11-venv"
}

fingerprint() { (cd "$ROOT" && cat requirements.lock scripts/uv.lock.txt pyproject.toml | sha256sum | cut -d' ' -f1); }

# uv, pinned with its hash, in a corner of .venv of its own, where it does not count as one of our dependencies.
install_uv() {
  local python="$1" wanted scratch
  wanted="$(sed -n 's/^uv==\([^ ]*\).*/\1/p' "$ROOT/scripts/uv.lock.txt")"
  [ -x "$UV" ] && [ "$("$UV" --version | cut -d' ' -f2)" = "$wanted" ] && return 0
  scratch="$(mktemp -d)"
  "$python" -m venv "$scratch/venv" || die "making a Python environment failed: apt-get install python3-venv"
  rm -rf "$VENV/share/uv"
  "$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
    --only-binary :all: --target "$VENV/share/uv" --requirement "$ROOT/scripts/uv.lock.txt" ||
    die "installing uv failed: see above"
  rm -rf "$scratch"
}

install_environment() {
  local python authorities=()
  if new_enough "$VENV/bin/python" && [ "$(cat "$STAMP" 2>/dev/null)" = "$(fingerprint)" ]; then
    return 0
  fi
  python="$(find_python)"
  say "installing the Python environment into .venv with $("$python" --version)"
  if ! new_enough "$VENV/bin/python"; then
    rm -rf "$VENV"
    "$python" -m venv --without-pip "$VENV"
  fi
  install_uv "$python"
  rm -f "$STAMP"
  # A company's proxy is known to the machine, not to uv's own list of authorities.
  [ ! -e /etc/ssl/certs/ca-certificates.crt ] || authorities=(--system-certs)
  "$UV" "${authorities[@]}" pip sync --quiet --python "$VENV/bin/python" --require-hashes "$ROOT/requirements.lock"
  "$UV" "${authorities[@]}" pip install --quiet --python "$VENV/bin/python" --no-deps --no-build-isolation \
    --editable "$ROOT"
  fingerprint >"$STAMP"
  CHANGED=yes
}

# ---------------------------------------------------------------------------------------------------------------------

for argument in "$@"; do
  case "$argument" in
  --dev) choose_dev_packages ;;
  -h | --help)
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  *) die "unknown argument $argument; try --help" ;;
  esac
done
install_packages
install_environment
if [ "$CHANGED" = yes ]; then
  say "installed. Try: .venv/bin/siteferry doctor"
else
  say "nothing to do"
fi
