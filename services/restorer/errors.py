"""What a restore can end with, beyond the errors of `shared.wordpress`.

Temporary
+-- TargetUnreachable     the target does not answer
Permanent
+-- VersionMismatch       WordPress differs too much between the two sites
+-- SchemaDrift           a table of WordPress itself has other keys on the two sites
+-- NetworkUnsupported    one of the sites is a network (multisite)
+-- UnsupportedTables     foreign keys or triggers tie tables that would be exchanged
+-- NotEnoughRoom         the target has no room for the staged data
+-- ProductionWouldLose   production has what the clone does not know
+-- StagedDiffers         what arrived on the target is not what was sent
+-- RestoreRolledBack     the site got worse, so it is as it was before
+-- SnapshotGone          the way back is not on the target any more
"""

from __future__ import annotations

from shared.errors import Permanent
from shared.wordpress.errors import SourceUnreachable


class TargetUnreachable(SourceUnreachable):
    """The target does not answer."""

    code = "target_unreachable"
    hint = "Check that the target opens in a browser from this network."


class VersionMismatch(Permanent):
    """WordPress differs too much between the two sites."""

    code = "version_mismatch"
    hint = "Update WordPress on the older side, then run the job again. A clone has no network: make a new one instead."


class SchemaDrift(Permanent):
    """A table of WordPress itself is built differently on the two sites."""

    code = "schema_drift"
    hint = (
        "Update WordPress and its database on both sides (for character sets, ALTER TABLE … CONVERT TO CHARACTER SET), "
        "or keep the table with options.preserve_tables."
    )


class NetworkUnsupported(Permanent):
    """One of the two sites is a WordPress network (multisite), which can not be restored yet."""

    code = "multisite_unsupported"
    hint = "Restore between single sites."


class UnsupportedTables(Permanent):
    """Foreign keys or triggers tie tables that would be exchanged."""

    code = "unsupported_tables"
    hint = "Keep these tables with options.preserve_tables."


class NotEnoughRoom(Permanent):
    """There is not enough room on the target for the staged data."""

    code = "not_enough_space"
    hint = "Free space on the target's disk or raise its quota; a restore needs room for the changed tables twice."


class ProductionWouldLose(Permanent):
    """Production has data that this restore would take away."""

    code = "production_would_lose"
    hint = (
        "Look at the list. Tables that only record what happens (logs, statistics, schedules) stay production's with "
        "options.preserve_tables; to go on all the same, send the request again with accept_loss=true."
    )


class StagedDiffers(Permanent):
    """What arrived on the target is not what was sent."""

    code = "staged_rows_differ"
    hint = "Something on the target changes rows as they are written, a trigger or a plugin; nothing was exchanged."


class RestoreRolledBack(Permanent):
    """The site got worse, so everything is as it was before the restore."""

    code = "rolled_back"
    decided = True
    hint = "Repair what the message names on the clone, then restore again."


class SnapshotGone(Permanent):
    """The snapshot is not on the target any more."""

    code = "snapshot_gone"
    hint = "It was discarded, or its directory or tables were removed on the target; a backup of the host may help."
