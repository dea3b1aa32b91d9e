#!/usr/bin/env bash
# Runs a command whose temporary files come and go by the hundred thousand, like those of tests and benchmarks.
#
#   scripts/scratch.sh COMMAND...
#
# An ext4 without a journal does not give away inodes that were freed within the last minutes and passes over them one
# by one (recently_deleted() in Linux's fs/ext4/ialloc.c): where many files were just deleted, making one takes 0.7 ms of
# processor instead of 0.02. There, if we are root, the command gets a file system of its own for them, in a file that
# is gone with its last process, however that ends. Everywhere else it just runs.
set -euo pipefail

TMP="${TMPDIR:-/tmp}"
LARGEST=$((40 << 30)) SMALLEST=$((12 << 30)) # bytes

without_journal() {
  local device
  device="$(findmnt --noheadings --output SOURCE --target "$TMP" 2>/dev/null)" || return 1
  [ "$(cat "/sys/fs/ext4/${device##*/}/journal_task" 2>/dev/null)" = "<none>" ]
}

# Runs in a mount namespace: nobody else sees the mount.
inside() {
  local where="$1" size="$2" image="$1.image"
  shift 2
  truncate --size "$size" "$image"
  if mkfs.ext4 -q -m 0 -E nodiscard,lazy_itable_init=1 "$image" && mount -o loop,noatime,nobarrier "$image" "$where"; then
    chmod 1777 "$where"
    export TMPDIR="$where"
  fi
  rm -f "$image"
  exec "$@"
}

if [ "${1:-}" = --inside ]; then
  shift
  inside "$@"
fi
free=$(($(stat --file-system --format '%a * %S' "$TMP") * 3 / 4))
size=$((free < LARGEST ? free : LARGEST))
if [ "$(id -u)" != 0 ] || ! without_journal || [ "$size" -lt "$SMALLEST" ] ||
  ! unshare --mount --propagation private true 2>/dev/null; then
  exec "$@"
fi
where="$(mktemp -d "$TMP/sf-XXXXXX")"
trap 'rmdir "$where"' EXIT
unshare --mount --propagation private -- "$0" --inside "$where" "$size" "$@"
