"""Snapshots on a real file system with reflinks, a loop-mounted XFS: blocks are shared, contents are not."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cloner.drivers.host import HostDriver
from services.cloner.drivers.host.snapshots import SnapshotDamaged, put_in_place
from shared.ids import new_id
from tests.contract import test_snapshots as elsewhere
from tests.contract.houses import HostHouse
from tests.xfs import NoXfs, mounted_xfs

pytestmark = pytest.mark.timeout(600)
FIEMAP = 0xC020660B
"""linux/fiemap.h: where the blocks of a file are."""
SYNC, SHARED = 1, 0x2000
MOST_EXTENTS = 1000


@pytest.fixture(scope="module")
def driver() -> Iterator[HostDriver]:
    try:
        with mounted_xfs() as where, HostHouse.running(where) as house:
            yield house.driver
    except NoXfs as error:
        pytest.skip(f"no file system with reflinks: {error}")


clone = elsewhere.clone  # of the driver here


def shared_part(path: Path) -> float:
    """How much of a file's blocks other files have, too."""
    with path.open("rb") as file:
        told = bytearray(struct.pack("=QQIIII", 0, (1 << 64) - 1, SYNC, 0, MOST_EXTENTS, 0) + bytes(56 * MOST_EXTENTS))
        fcntl.ioctl(file, FIEMAP, told)
    extents = [
        struct.unpack_from("=QQQQQIIII", told, 32 + 56 * n) for n in range(struct.unpack_from("=I", told, 20)[0])
    ]
    assert 0 < len(extents) < MOST_EXTENTS
    return sum(one[2] for one in extents if one[5] & SHARED) / sum(one[2] for one in extents)


def large_table(driver: HostDriver, clone: str) -> None:
    elsewhere.run(
        driver,
        clone,
        "CREATE TABLE large (id INT AUTO_INCREMENT PRIMARY KEY, t LONGTEXT) ENGINE=InnoDB",
        "INSERT INTO large (t) SELECT REPEAT(MD5(seq), 60) FROM seq_1_to_6000",
    )


def test_everything_comes_back_here_too(driver: HostDriver, clone: str) -> None:
    elsewhere.test_everything_comes_back_in_the_same_clone_and_in_another(driver, clone)


def test_what_is_written_to_a_clone_is_not_written_to_its_snapshot(driver: HostDriver, clone: str) -> None:
    elsewhere.test_a_clone_never_shares_a_file_with_its_snapshot(driver, clone)


def test_blocks_are_shared_until_one_of_the_two_is_written(driver: HostDriver, clone: str) -> None:
    site = elsewhere.files(driver, clone)
    (site / "film").write_bytes(os.urandom(60_000_000))
    large_table(driver, clone)
    manifest = driver.snapshots.capture(driver.place(clone), clone, "made")
    assert {table.name: table.way for table in manifest.tables} == {"large": "space"}
    kept = driver.snapshots.root / clone / "made"
    assert shared_part(site / "wp-content/big") == 1
    assert shared_part(kept / "tables" / "large.ibd") > 0.9
    assert (kept / "small").stat().st_size == 0, "small files have blocks of their own to share"

    other = new_id("clone")
    driver.ensure(other)
    try:
        free = os.statvfs(driver.clones).f_bfree * os.statvfs(driver.clones).f_frsize
        driver.snapshots.stage(clone, "made", driver.place(other))
        assert put_in_place(driver.place(other)) == []
        os.sync()
        taken = free - os.statvfs(driver.clones).f_bfree * os.statvfs(driver.clones).f_frsize
        # a table that is imported shares little: InnoDB writes its number into every page
        assert taken < manifest.bytes / 2, f"a copy of {manifest.bytes} bytes took {taken}"
        big = driver.place(other).document_root / "wp-content/big"
        assert shared_part(big) == 1
        with big.open("r+b") as written:
            written.write(b"x" * (1 << 20))
            os.fsync(written.fileno())
        assert 0.4 < shared_part(big) < 0.8
        elsewhere.run(driver, other, "UPDATE large SET t='changed'")
        before = elsewhere.run(driver, clone, "SELECT CAST(SUM(CRC32(t)) AS CHAR) FROM large")
        driver.snapshots.stage(clone, "made", driver.place(other))
        assert put_in_place(driver.place(other)) == []
        assert big.read_bytes() == (site / "wp-content/big").read_bytes()
        assert elsewhere.run(driver, other, "SELECT CAST(SUM(CRC32(t)) AS CHAR) FROM large") == before
    finally:
        driver.destroy(other)


@pytest.mark.parametrize("what", ["files/0/0", "tables/large.ibd"])
def test_damage_is_seen_though_no_byte_is_copied(driver: HostDriver, clone: str, what: str) -> None:
    elsewhere.files(driver, clone)
    large_table(driver, clone)
    driver.snapshots.capture(driver.place(clone), clone, "made")
    with (driver.snapshots.root / clone / "made" / what).open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    had = elsewhere.database(driver, clone)
    with pytest.raises(SnapshotDamaged):
        driver.snapshots.stage(clone, "made", driver.place(clone))
    assert elsewhere.database(driver, clone) == had
