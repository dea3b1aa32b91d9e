"""What is asked of a cluster for one clone, what is read from it, and how its Pod is spoken to: without any cluster."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.cloner.drivers.kubernetes import objects
from services.cloner.drivers.kubernetes.credentials import NONE, credentials
from services.cloner.drivers.kubernetes.settings import KubernetesSettings
from services.cloner.drivers.kubernetes.standing import standing
from services.cloner.drivers.kubernetes.target import PodTarget
from shared.cells.pod_layout import WRITABLE
from shared.cells.pod_wire import BYTES, BadFrames, Unpacker, packed
from shared.wordpress import limits

CLONE, KEY = "clone-0123456789abcdef", b"k" * 32


def container(name: str) -> dict[str, Any]:
    spec = objects.pod(CLONE, KubernetesSettings())["spec"]
    return next(one for one in (*spec["initContainers"], *spec["containers"]) if one["name"] == name)


def test_the_sites_container_has_no_secret_and_writes_to_the_sites_folders_only() -> None:
    mounts = container("web")["volumeMounts"]
    assert not [mount for mount in mounts if "secret" in mount["name"]]
    written = {mount.get("subPath") for mount in mounts if mount["name"] == "clone" and not mount.get("readOnly")}
    assert written == set(WRITABLE)
    assert {name for mount in container("database")["volumeMounts"] if (name := mount["name"]) == "clone"} == set()


def test_secrets_are_the_same_for_every_cloner_and_different_for_every_clone() -> None:
    mine = credentials(KEY, CLONE)
    credentials.cache_clear()
    assert credentials(KEY, CLONE) == mine
    for other in (credentials(KEY, "clone-0123456789abcdeg"), credentials(b"x" * 32, CLONE)):
        assert not set(vars(mine).values()) & set(vars(other).values())
    assert mine.password.isalnum(), "it stands in a string of SQL"
    assert mine.token not in repr(mine)
    with pytest.raises(ValueError, match="32 bytes"):
        credentials(b"short", CLONE)


def test_a_carrier_that_fills_no_clone_gets_no_secret_of_it() -> None:
    target = PodTarget(CLONE, "http://x", Path("/clones/x"), Path("/records"), credentials(KEY, CLONE))
    assert pickle.loads(pickle.dumps(target)).credentials == NONE
    target.address = "10.0.0.1"
    assert pickle.loads(pickle.dumps(target)).credentials == target.credentials


@pytest.mark.parametrize("bad", ["clone.example.org", "http://clones.example.org/{clone}", "ftp://{clone}.example.org"])
def test_an_address_has_the_clone_in_its_host(bad: str) -> None:
    with pytest.raises(ValidationError):
        KubernetesSettings(clone_address=bad)


def test_frames_survive_any_cut_and_end_where_they_must() -> None:
    frames = [("F", b"{}"), (BYTES, b"x" * 1000), ("Z", b"")]
    stream = b"".join(packed(kind, payload) for kind, payload in frames)
    for size in (1, 7, len(stream)):
        reader = Unpacker()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [frame for piece in pieces for frame in reader.feed(piece)] == frames
        reader.finish()
    reader = Unpacker()
    assert list(reader.feed(stream[:-1])) == frames[:2]
    with pytest.raises(BadFrames):
        reader.finish()


@pytest.mark.parametrize("bad", [b"B" + (int(limits.FRAME.most) + 1).to_bytes(4), b"\0\0\0\0\0"])
def test_what_is_no_frame_is_refused_before_it_is_waited_for(bad: bytes) -> None:
    with pytest.raises(BadFrames):
        list(Unpacker().feed(bad))


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {}, "status": status}


def test_how_a_pod_stands() -> None:
    ready = [{"type": "Ready", "status": "True"}]
    assert standing(pod(phase="Running", conditions=ready)).ready
    assert standing({**pod(conditions=ready), "metadata": {"deletionTimestamp": "now"}}).over
    failed = standing(pod(phase="Failed", reason="DeadlineExceeded", message="too long", conditions=ready))
    assert (failed.ready, failed.over, failed.why) == (False, True, "DeadlineExceeded: too long")
    full = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert (standing(pod(conditions=[full])).crowded, standing(pod(conditions=[full])).why) == (True, "0/3 nodes")
    waiting = {"name": "web", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    assert standing(pod(containerStatuses=[waiting])).why == "web: ErrImagePull no such image"
    assert not standing(pod()).over
