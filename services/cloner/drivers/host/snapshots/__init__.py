"""Snapshots: what a clone holds, files and database, kept in a folder that never changes, and put into any clone again.

Images, resets, versions and forks stand on this. Three verbs:

    snapshots = Snapshots(root, databases)          # `HostDriver.snapshots`; `root` is made when first needed, 0700
    snapshots.capture(target, "clone-…", "made")    # what the clone `target` holds -> root/clone-…/made
    snapshots.stage("clone-…", "made", target)      # prepare it beside what any clone `target` holds now
    put_in_place(target)                            # exchange the two; from here on only forwards

An owner (first word) is whom the snapshot belongs to: a clone's id, an image's. A name is one of its snapshots. `get`
reads what was captured (`Manifest`), `names`, `owners` and `size` tell what there is, `remove` and `remove_all` remove.
All of it blocks: use worker threads. The place of the clone that is filled must be there (`HostDriver.ensure`); a clone
that has no configuration yet (a new one) is not served by `put_in_place`, `write_config` does that later.

**In the folder** lie `manifest.json` (facts, tables, definitions), `tree` (one line for each entry: path, kind, mode,
times, size, checksum), `files/<n>/<n>` (contents by number, so that no name a site chose is ever a name here) and
`tables/` (tablespaces or rows). It becomes visible by one rename; what a kill left before that is named `.making-…` and
goes with the next capture or `sweep`. Whoever the worker runs as can read it, and nobody else.

**Files** are reflinks where the file system has them, else copies: PHP writes into files where they are, so a clone
never shares an inode with a snapshot. A clone's files are walked by descriptors, no link is followed, and what is
neither file, folder nor link is left out (`Manifest.skipped`).

**Tables** of InnoDB travel as tablespaces (`FLUSH TABLES … FOR EXPORT`, `IMPORT TABLESPACE`): the clone's tables can be
read but not written while they are copied, and no others are touched. Everything that can not travel so (other engines,
partitions, generated columns, FULLTEXT and SPATIAL keys, sequences, odd names, a server whose data folder is not on
this machine) goes as rows. Definitions are the server's own words, run with the rights of the clone they are made in;
views, triggers and routines are made last and without their definer.

**Another clone's id** takes the place of the one it was taken of while it is staged, where that is asked for
(`renamed`), in rows and in files of text, so that addresses and paths lead to the clone they are in. Ids have one
length: whatever counts characters stays right. Images do without: what names an address is fetched again.

**Errors**: `NoSuchSnapshot`, `SnapshotDamaged` (every byte is checked while it is staged; the clone stays as it was),
`SnapshotRefused` (what can not be captured), and those of `shared.wordpress.transfer.errors` (full disk, database
away).

**Death at any moment**: until `stage` has returned the clone is what it was; once `put_in_place` has begun it completes
the exchange however often it is begun again. `settle` does whichever is due: call it before anything else when a job
begins again, and when it is given up.
"""

from __future__ import annotations

from .errors import NoSuchSnapshot, SnapshotDamaged, SnapshotRefused
from .manifest import Manifest
from .place import put_in_place, settle
from .store import Snapshots

__all__ = [
    "Manifest",
    "NoSuchSnapshot",
    "SnapshotDamaged",
    "SnapshotRefused",
    "Snapshots",
    "put_in_place",
    "settle",
]
