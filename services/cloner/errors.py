"""What a clone can end with, beyond the errors of `shared.wordpress`.

Permanent
+-- MultisiteUnsupported
+-- NotEnoughSpace
+-- PathRefused         the source names a folder outside of its document root
+-- WordPressMissing    no WordPress came with the source's files
+-- CloneUnhealthy      the finished clone does not answer as a site must
+-- CloneGone           the clone a job is about is not there any more
+-- StatesNotOffered    the driver keeps no states of clones
+-- TooManyVersions
+-- CloneEdited         a refresh would take away what was edited in the clone
Temporary
+-- FinalizeFailed      WordPress could not be started on the clone
"""

from __future__ import annotations

from typing import Final

from shared.engine.parts import OwnPartAway
from shared.engine.token import Draining
from shared.errors import Cancelled, LeaseLost, Permanent, Temporary

STOPS: Final = (OwnPartAway, Cancelled, LeaseLost, Draining)
"""What ends a job's work in this worker whatever it was doing: not for a step to make a note of and go on."""


class MultisiteUnsupported(Permanent):
    """The source is a WordPress network (multisite), which can not be cloned yet."""

    code = "multisite_unsupported"
    hint = "Clone a single site, or export the one site of the network you need into its own installation."


class NotEnoughSpace(Permanent):
    """There is not enough room for this clone."""

    code = "not_enough_space"
    hint = "Delete clones that are no longer needed, or give the server more disk, then run the job again."


class PathRefused(Permanent):
    """The source names a folder that does not lie in its document root."""

    code = "path_refused"
    hint = "No ordinary site says so: look at who answers for it, and at its connector."


class WordPressMissing(Permanent):
    """The source's files brought no WordPress: there is no wp-load.php among them."""

    code = "wordpress_missing"
    hint = "Does options.exclude_paths leave it out? Else look at the source: can its PHP read wp-load.php?"


class CloneUnhealthy(Permanent):
    """The clone was made but does not work."""

    code = "clone_unhealthy"
    hint = "Look at the details; a plugin may need something of its old host. Exclude it with options.exclude_paths."


class CloneGone(Permanent):
    """The clone is not there any more."""

    code = "clone_gone"
    hint = "Clone the site again."


class StatesNotOffered(Permanent):
    """Clones that live in a cluster can not be reset and have no versions."""

    code = "not_offered"
    hint = "This driver keeps no states of clones; make a new clone instead."


class TooManyVersions(Permanent):
    """The clone has as many versions as it may."""

    code = "too_many_versions"
    hint = "Delete one: siteferry versions CLONE --delete NAME. Then try again."


class CloneEdited(Permanent):
    """The clone was edited since it was made or last refreshed, and a refresh would take that away."""

    code = "clone_edited"
    hint = "Keep what it is (siteferry versions CLONE --keep NAME), then ask again with overwrite (--overwrite)."


class ClonePhpDies(Temporary):
    """The clone's PHP ends before it answers."""

    code = "clone_php_dies"
    hint = "See the clone's lines in siteferry.log: is its memory too small, or does a page make PHP crash?"


class FinalizeFailed(Temporary):
    """WordPress could not be started on the clone."""

    code = "finalize_failed"
    hint = "Does the source site itself work? Its PHP version and the clone server's may differ."
