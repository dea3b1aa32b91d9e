"""What a clone in a cluster can end with, beyond the errors of every clone.

Permanent
+-- CloneGone        its Pod is not there any more
+-- ClusterRefused   the cluster does not let us make it
Temporary
+-- PodNotReady      it was made and does not start
"""

from __future__ import annotations

from shared.engine.parts import OwnPartAway
from shared.errors import Permanent, Temporary

CLUSTER, POD = "kubernetes", "pod"


class CloneGone(Permanent):
    """The clone's Pod is gone."""

    code = "clone_gone"
    hint = "Its node was lost, or somebody deleted the Pod: run the job again."


class ClusterRefused(Permanent):
    """The cluster does not let Siteferry make the clone's Pod."""

    code = "cluster_refused"
    hint = "A right, a rule or a setting of the driver is wrong; the message is the cluster's own."


class PodNotReady(Temporary):
    """The clone's Pod does not start."""

    code = "pod_not_ready"
    hint = "`kubectl describe pod` of that name in the clones' namespace tells why."


class ClusterAway(OwnPartAway):
    """The API of the cluster does not answer: what it was to do is done once it is there again."""

    def __init__(self, message: str) -> None:
        super().__init__(CLUSTER, message)


class PodAway(OwnPartAway):
    """A Pod that is there does not answer: its containers are started again by the cluster."""

    def __init__(self, message: str) -> None:
        super().__init__(POD, message)
