"""Files that break naive copying. Paths are relative to the web root, as bytes, because names are."""

from __future__ import annotations

import os
from pathlib import Path

from tests.sites.core import give, give_up_to
from tests.sites.site import Site


def _place(site: Site, *parts: str) -> Path:
    folder = site.uploads.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _relative(site: Site, path: Path | bytes) -> bytes:
    return os.path.relpath(os.fsencode(path), os.fsencode(site.docroot))


def big_file(site: Site, size: int = 600 << 20) -> Path:
    """A file of `size` bytes, different in every MiB. Most of it is holes, so it costs little disk."""
    path = _place(site, "2024", "05") / "film.mp4"
    with open(path, "wb") as file:
        file.truncate(size)
        for offset in range(0, size, 1 << 20):
            file.seek(offset)
            file.write((b"block %012d " % offset * 256)[: min(4096, size - offset)])
    give_up_to(path, site.content)
    return path


def many_files(site: Site, count: int = 5000) -> Path:
    """`count` small files in folders of 100. Returns the folder that holds them all."""
    top = _place(site, "many")
    for n in range(count):
        folder = top / f"{n // 100:03d}"
        if n % 100 == 0:
            folder.mkdir(exist_ok=True)
        (folder / f"f{n:05d}.txt").write_bytes(b"file %d\n" % n * (1 + n % 97))
    give(top)
    give_up_to(top, site.content)
    return top


def unreadable(site: Site) -> list[bytes]:
    """A file and a folder with a file in it that the web account can not read. Returns file and folder."""
    top = _place(site, "locked")
    folder = top / "folder"
    folder.mkdir(exist_ok=True)
    (folder / "inside.txt").write_text("nobody sees this")
    secret = top / "secret.txt"
    secret.write_text("nor this")
    (top / "open.txt").write_text("but this")
    give(top)
    if os.geteuid() == 0:
        os.chown(secret, 0, 0)
        os.chown(folder, 0, 0)
    secret.chmod(0o600 if os.geteuid() == 0 else 0)
    folder.chmod(0o700 if os.geteuid() == 0 else 0)
    return [_relative(site, secret), _relative(site, folder)]


def links(site: Site) -> dict[str, bytes]:
    """Symbolic links: a loop, one to a file of the site, one to a folder of the site, out of the site, to nothing.

    Returns kind -> path. What the link "outside" shows is in `site.directory / "outside" / "secret.txt"`.
    """
    top = _place(site, "links")
    outside = site.directory / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret.txt").write_text("not the site's business\n")
    (top / "real.txt").write_text("real\n")
    (top / "folder").mkdir(exist_ok=True)
    (top / "folder" / "in.txt").write_text("in the folder\n")
    made = {
        "loop": ("loop", "."),
        "up": ("folder/up", "../.."),
        "file": ("file.txt", "real.txt"),
        "absolute": ("absolute.txt", str(top / "real.txt")),
        "folder": ("shortcut", "folder"),
        "outside": ("outside", str(outside)),
        "outside_file": ("passwd", "/etc/passwd"),
        "dangling": ("dangling", "nowhere/at/all"),
    }
    for name, target in made.values():
        (top / name).unlink(missing_ok=True)
        (top / name).symlink_to(target)
    give(top)
    give_up_to(top, site.content)
    return {kind: _relative(site, top / name) for kind, (name, _) in made.items()}


ODD_NAMES: tuple[bytes, ...] = (
    b"caf\xe9.jpg",  # latin1, not UTF-8
    "café.jpg".encode(),
    b"\xff\xfe.bin",
    "⛵ boat.png".encode(),
    b"new\nline.txt",
    b"tab\tand 'quotes' \"double\".txt",
    b"back\\slash.txt",
    b"-rf.txt",
    b"%2e%2e%2f.txt",
    b"0",
    b"Photo.jpg",
    b"photo.jpg",  # differs in case alone
    b" leading and trailing ",
    b"..hidden-not-parent",
    b"a" * 250 + b".txt",
)


def odd_names(site: Site) -> list[bytes]:
    """Files whose names are not nice UTF-8 words, one of them empty, in a folder that is not either."""
    top = _place(site, "odd")
    folder = os.path.join(os.fsencode(top), b"d\xe9pot")
    os.makedirs(folder, exist_ok=True)
    made = [os.path.join(os.fsencode(top), name) for name in ODD_NAMES] + [os.path.join(folder, b"in \xe9.txt")]
    for path in made:
        with open(path, "wb") as file:
            file.write(b"" if path.endswith(b"/0") else b"content of " + os.path.basename(path))
    give(top)
    give_up_to(top, site.content)
    return [_relative(site, path) for path in made]


def hidden_files(site: Site) -> list[bytes]:
    """Ordinary files of a site that a copier easily forgets: dotfiles, an empty folder, a languages folder."""
    made = [
        site.write(os.path.relpath(site.content / ".well-hidden", site.docroot), "dot\n"),
        site.write(
            os.path.relpath(site.content / "languages" / "de_DE.mo", site.docroot), b"\xde\x12\x04\x95" + bytes(24)
        ),
        site.write("favicon.ico", b"\0\0\1\0"),
        site.write("google1234.html", "google-site-verification: google1234.html"),
        site.write("robots.txt", f"User-agent: *\nDisallow:\nSitemap: {site.home}/wp-sitemap.xml\n"),
    ]
    empty = _place(site, "empty-folder")
    give_up_to(empty, site.content)
    return [_relative(site, path) for path in (*made, empty)]


def clutter(site: Site) -> dict[str, bytes]:
    """What does not belong to the site: caches, backups, logs, version control, host settings, and a pipe.

    Returns kind -> path.
    """
    content = os.path.relpath(site.content, site.docroot)
    files = {
        "cache": f"{content}/cache/page/index.html",
        "backup": f"{content}/updraft/backup_2024-05-01-db.gz",
        "ai1wm": f"{content}/ai1wm-backups/site.wpress",
        "log": f"{content}/debug.log",
        "git": ".git/objects/aa/bb",
        "node_modules": f"{content}/themes/plain-pine/node_modules/x/index.js",
        "user_ini": ".user.ini",
        "htaccess": ".htaccess",
    }
    bodies = {
        "user_ini": "; of the source's host\nmemory_limit = 96M\n",
        "htaccess": "RewriteEngine On\nRewriteBase /\n",
        "cache": f"<html>{site.home}</html>",
    }
    for kind, path in files.items():
        site.write(path, bodies.get(kind, f"{kind}\n"))
    pipe = site.uploads / "pipe"
    if not pipe.exists():
        os.mkfifo(pipe)
        give_up_to(pipe, site.content)
    return {kind: os.fsencode(path) for kind, path in files.items()} | {"pipe": _relative(site, pipe)}


def stylesheet_with_urls(site: Site) -> Path:
    """A generated stylesheet, as page builders leave them in uploads, with absolute URLs in it."""
    css = f".hero{{background:url({site.home}/wp-content/uploads/2024/03/shed.jpg)}}\n"
    css += f".x{{background:url('//{site.home.removeprefix('http://')}/y.png')}}\n"
    path = site.uploads / "elementor" / "css" / "post-1.css"
    return site.write(os.path.relpath(path, site.docroot), css)
