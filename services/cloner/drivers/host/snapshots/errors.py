"""What can be wrong with a snapshot.

Permanent
+-- NoSuchSnapshot
+-- SnapshotDamaged
+-- SnapshotRefused
"""

from __future__ import annotations

from shared.errors import Permanent


class NoSuchSnapshot(Permanent):
    """There is no such state to go back to."""

    code = "snapshot_missing"
    hint = "Look which states of the clone are kept, or make the clone again."


class SnapshotDamaged(Permanent):
    """The stored state is damaged on the disk; the clone was left as it is."""

    code = "snapshot_damaged"
    hint = "Look after the disk of the clone server. Go back to another version, or make the clone again."


class SnapshotRefused(Permanent):
    """What the clone holds can not be kept as a snapshot."""

    code = "snapshot_refused"
    hint = "The message names what is in the way. Remove it from the clone, then try again."
