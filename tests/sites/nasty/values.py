"""Values that break naive search and replace, stored as options: `nasty_<name>`."""

from __future__ import annotations

import json
from urllib.parse import quote

from tests.sites.site import Site


def php_string(value: bytes | str) -> bytes:
    """`s:<length>:"…";` as serialize() writes it."""
    raw = value.encode() if isinstance(value, str) else value
    return b's:%d:"%s";' % (len(raw), raw)


def values(home: str) -> dict[str, bytes]:
    """name -> stored bytes, for a site at `home`."""
    host = home.split("://")[1]
    s = php_string
    inner = b"a:1:{" + s("u") + s(f"{home}/x") + b"}"
    found = {
        "plain": f"{home}/a?b=c#d",
        "bare_home": home,
        "slash": f"{home}/",
        "protocol_relative": f"<img src='//{host}/i.png'>",
        "https": f"https://{host}/secure",
        "upper_host": f"http://{host.upper()}/loud",
        "json": json.dumps({"u": f"{home}/j"}).replace("/", "\\/"),
        "json_in_json": json.dumps({"i": json.dumps({"u": f"{home}/jj"}).replace("/", "\\/")}).replace("/", "\\/"),
        "urlencoded": f"https://share.example.com/?u={quote(home + '/q', safe='')}",
        "urlencoded_lower": f"?u={quote(home + '/q', safe='').replace('%3A', '%3a').replace('%2F', '%2f')}",
        "urlencoded_twice": f"?u={quote(quote(home + '/q', safe=''), safe='')}",
        "lookalike_port": f"http://{host}1/other-port",
        "lookalike_domain": f"http://{host.split(':')[0]}.evil.test/x",
        "lookalike_prefix": f"http://my{host}/x",
        "email": f"captain@{host.split(':')[0]}",
        "trailing_newline": "",
        "emoji": f"⛵ {home}/ärmel ⛵",
    }
    raw = {name: text.encode() for name, text in found.items()}
    raw["serialized"] = inner
    raw["serialized_twice"] = s(inner)
    raw["serialized_thrice"] = s(s(s(f"{home}/deep")))
    raw["trailing_newline"] = inner + b"\n"
    raw["serialized_json"] = b"a:1:{i:0;" + s(json.dumps({"u": f"{home}/sj"}).replace("/", "\\/")) + b"}"
    raw["multibyte"] = b"a:1:{" + s("clé") + s(f"é⛵ {home}/ü") + b"}"
    raw["private_props"] = (
        b'O:10:"Gone\\Class":3:{' + s(b"\0Gone\\Class\0secret") + s(f"{home}/private") + s(b"\0*\0guarded")
        + s(f"{home}/protected") + s("open") + b"d:0.10000000000000001;}"
    )  # fmt: skip
    raw["std_class"] = b'O:8:"stdClass":1:{' + s("u") + s(f"{home}/std") + b"}"
    raw["references"] = b"a:3:{i:0;" + s(f"{home}/ref") + b"i:1;R:2;i:2;r:1;}"
    raw["enum"] = b'a:2:{i:0;E:9:"Suit:Oars";i:1;' + s(f"{home}/enum") + b"}"
    raw["wrong_length"] = b's:999:"%s";' % f"{home}/broken".encode()
    raw["floats"] = b"a:3:{i:0;d:0.1;i:1;d:1.0E+25;i:2;" + s(home) + b"}"
    return raw


def hard_values(site: Site) -> dict[str, bytes]:
    """Store all of `values` as options. Returns option name -> stored bytes."""
    made = {f"nasty_{name}": value for name, value in values(site.home).items()}
    with site.connect(charset="binary") as connection, connection.cursor() as cursor:
        for name, value in made.items():
            cursor.execute(
                f"INSERT INTO `{site.prefix}options` (option_name, option_value, autoload) VALUES (%s, %s, 'no')",
                (name, value),
            )
        connection.commit()
    return made
