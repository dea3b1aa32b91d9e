#!/usr/bin/env bash
# Tries this checkout on a new machine: a fresh system with nothing but git, make and sudo, and a clean clone of HEAD.
#
#   scripts/try-on.sh trixie                      make demo ONCE=1, as root in /root (mode 0700)
#   scripts/try-on.sh --user bookworm             the same as a user with sudo, whose home is of mode 0700
#   scripts/try-on.sh trixie make test ARGS='-k farm'
#   scripts/try-on.sh noble bash                  look around; what is changed there is gone afterwards
#
# The exit code is the command's; 77 when this machine can not make another one. The systems are cached, packages and
# wheels too (see scripts/base-system.sh); the machine itself lives in mounts and processes of its own and leaves
# nothing behind. Mirrors, proxies and package indexes are those of this machine. Root or sudo; SECONDS_AT_MOST=1200.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CANNOT=77
LIMIT="${SECONDS_AT_MOST:-1200}"
CACHE="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/siteferry"
# What tells pip, uv and TLS where to look; the values may hold a password, and stay in the machine's own files.
CARRIED='^(PIP|UV)_[A-Z_]*=|^(https?|no|all)_proxy=|^(HTTPS?|NO|ALL)_PROXY=|^(SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)='
CALLER_HOME="${CALLER_HOME:-${HOME:-/root}}"
ACCOUNT=root
SCRATCH=''

say() { printf 'try-on: %s\n' "$*"; }
cannot() {
  say "$* - not tried"
  exit "$CANNOT"
}

# --- outside: a clone, a system, and a place for what the machine writes ------------------------------------------------

prepare() {
  local suite="$1" home=/root
  [ "$ACCOUNT" = root ] || home="/home/$ACCOUNT"
  command -v debootstrap >/dev/null || cannot "debootstrap is missing (apt-get install debootstrap)"
  unshare --mount --pid --fork true 2>/dev/null || cannot "this machine grants no namespaces of one's own"
  SYSTEM="$("$ROOT/scripts/base-system.sh" "$suite" 2> >(tail -5 >&2))"
  SCRATCH="$(mktemp -d "${TMPDIR:-/var/tmp}/siteferry-try-on.XXXXXX")"
  trap 'rm -rf --one-file-system "$SCRATCH"' EXIT
  trap 'exit 130' INT TERM HUP
  mkdir -p "$SCRATCH"/{upper,work,machine} "$CACHE/archives/$suite/partial" "$CACHE/wheels"
  install -d -m 700 "$SCRATCH/upper$home"
  git -c safe.directory='*' clone -q --no-hardlinks "$ROOT" "$SCRATCH/upper$home/siteferry"
  write_environment "$SCRATCH/upper" "$home"
}

write_environment() {
  local upper="$1" home="$2" name
  mkdir -p "$upper/etc/profile.d"
  env | grep -E "$CARRIED" | grep -vE '^(PIP|UV)_(CACHE_DIR|FIND_LINKS|CONFIG_FILE|PROJECT)' |
    while IFS='=' read -r name value; do printf 'export %s=%q\n' "$name" "$value"; done >"$upper/etc/profile.d/machine.sh"
  printf 'export UV_CACHE_DIR=/var/cache/wheels UV_LINK_MODE=copy\n' >>"$upper/etc/profile.d/machine.sh"
  for name in .config/pip/pip.conf .pip/pip.conf .config/uv/uv.toml .netrc; do
    [ ! -e "$CALLER_HOME/$name" ] || install -D -m 600 "$CALLER_HOME/$name" "$upper$home/$name"
  done
  for name in /etc/pip.conf /etc/uv/uv.toml; do [ ! -e "$name" ] || install -D -m 644 "$name" "$upper$name"; done
}

# --- inside: the first process of the machine, in namespaces of its own -------------------------------------------------

lay_out() {
  local scratch="$1" system="$2" suite="$3" node
  # No overlay upon an overlay, as in some containers: then a copy.
  mount -t overlay machine -o "lowerdir=$system,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/machine" 2>/dev/null || {
    cp -a "$system/." "$scratch/machine/" && cp -a "$scratch/upper/." "$scratch/machine/"
    mount --bind "$scratch/machine" "$scratch/machine"
  }
  cd "$scratch/machine"
  mount -t proc -o nosuid,nodev,noexec proc proc
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys 2>/dev/null || mount --rbind /sys sys
  mount -t tmpfs -o nosuid,mode=755 dev dev
  for node in null zero full random urandom tty; do
    touch "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
  done
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
  mount -t tmpfs -o nosuid,nodev,mode=1777 shm dev/shm
  mount -t tmpfs -o nosuid,nodev,mode=755 run run
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  for node in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${node%%:*}" "dev/${node#*:}"; done
  cp -L /etc/resolv.conf etc/resolv.conf
  cp -L /etc/hosts etc/hosts
  mkdir -p var/cache/wheels .outside
  mount --bind "$CACHE/archives/$suite" var/cache/apt/archives
  mount --bind "$CACHE/wheels" var/cache/wheels
  # A new root, not a chroot: in a chroot the kernel grants nobody a user namespace, and cells need them.
  pivot_root . .outside
  cd /
  hash -r
  umount -l /.outside
  rmdir /.outside
}

inside() {
  local scratch="$1" system="$2" suite="$3" home=/root
  shift 3
  lay_out "$scratch" "$system" "$suite"
  if [ "$ACCOUNT" != root ]; then
    home="/home/$ACCOUNT"
    useradd --home-dir "$home" --no-create-home --shell /bin/bash "$ACCOUNT"
    printf '%s ALL=(ALL) NOPASSWD: ALL\n' "$ACCOUNT" >/etc/sudoers.d/try-on
    printf 'export UV_CACHE_DIR=%q/.cache/uv\n' "$home" >>/etc/profile.d/machine.sh
    chown -R "$ACCOUNT:$ACCOUNT" "$home"
  fi
  chmod 700 "$home"
  cd "$home/siteferry"
  setpriv --reuid "$ACCOUNT" --regid "$ACCOUNT" --init-groups \
    env -i HOME="$home" USER="$ACCOUNT" LANG=C.UTF-8 TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /bin/bash -lc '"$@"' try-on "$@"
}

# ------------------------------------------------------------------------------------------------------------------------

case "${1:-}" in
-h | --help | '')
  sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 0
  ;;
--inside)
  ACCOUNT="$2"
  shift 2
  inside "$@"
  exit
  ;;
--user)
  ACCOUNT=dev
  shift
  ;;
esac
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || cannot "neither root nor sudo without a password is at hand"
  [ "$ACCOUNT" = root ] || set -- --user "$@"
  exec sudo -n -E -H CALLER_HOME="${HOME:-}" "${BASH_SOURCE[0]}" "$@"
fi
suite="$1"
shift
[ "$#" -gt 0 ] || set -- make demo ONCE=1
started="$SECONDS"
prepare "$suite"
say "$suite is there after $((SECONDS - started)) s; as $ACCOUNT: $*"
exec 9>"$CACHE/archives/$suite.lock" # apt's own lock of the packages kept would not wait
flock 9
started="$SECONDS"
code=0
timeout --foreground --kill-after=10 "$LIMIT" unshare --mount --pid --fork --kill-child --ipc --uts --propagation private \
  "${BASH_SOURCE[0]}" --inside "$ACCOUNT" "$SCRATCH" "$SYSTEM" "$suite" "$@" 9>&- || code=$?
case "$code" in
0) say "$suite, as $ACCOUNT: $* passed in $((SECONDS - started)) s" ;;
124 | 137) say "$suite, as $ACCOUNT: $* did not end within $LIMIT s" ;;
*) say "$suite, as $ACCOUNT: $* FAILED with $code after $((SECONDS - started)) s" ;;
esac
exit "$code"
