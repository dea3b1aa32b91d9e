"""Caddy's configuration as data: pure functions, one for the product's edge, one for a farm of ordinary sites."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.web import EXPOSED, HEAD_READ, PROBLEM, REQUEST_ID, problem_document
from siteferry.embedded.servers.phpfpm import quoted

Json = dict[str, Any]

CLONE_HOST = r"^(clone-[a-z0-9]{16})\.localhost(?::\d+)?$"
CLONE = "{http.regexp.clone.1}"
"""Stands for the clone id taken from the host name; only what CLONE_HOST lets through can get there."""

STATUS_PATHS = (
    "/",
    "/ws",
    "/jobs/*/events",
    "/asyncapi.json",
    "/dashboard",
    "/dashboard/*",
    "/assets/*",
    "/static/*",
    "/favicon.ico",
)
"""What the status service answers; everything else on the main host is the gateway's."""

GONE_PAGE = """\
<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>No clone here</title>
<style>body{font:1.1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1.5rem;color:#1d2733}
@media(prefers-color-scheme:dark){body{background:#12171d;color:#dbe3ec}}small{opacity:.7}</style>
<h1>There is no clone here</h1>
<p>This clone does not exist, or its time is up.</p>
<p><small>Siteferry</small></p></html>
"""
PHP_SECONDS = 300

FARM_PHP_VALUES: Mapping[str, str] = {
    "open_basedir": "",
    "auto_prepend_file": "",
    "memory_limit": "256M",
    "max_execution_time": "120",
    "max_input_time": "60",
    "max_input_vars": "5000",
    "upload_max_filesize": "128M",
    "post_max_size": "128M",
    "output_buffering": "0",
    "zlib.output_compression": "0",
    "error_log": "",
    "display_errors": "0",
}
"""What a farm site may set, with what the others get: a worker keeps a value until a request sets another."""


@dataclass(frozen=True)
class BasicAuth:
    """HTTP basic auth in front of a site, as hosts put it before staging sites."""

    username: str
    password: str

    @property
    def header(self) -> str:
        """The value of the Authorization header that opens the site."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class FarmSite:
    """How one site of a farm differs from an ordinary one."""

    php_values: Mapping[str, str] = field(default_factory=dict)
    basic_auth: BasicAuth | None = None
    max_body: int | None = None
    """Bytes of a request body the web server takes, as nginx's client_max_body_size; None: any."""


def edge_config(
    *,
    port: int,
    cells: Path,
    gateway: str,
    status: str,
    listen: Sequence[str] = ("127.0.0.1",),
    hosts: Sequence[str] | None = (),
    status_paths: Iterable[str] = STATUS_PATHS,
    admin_socket: Path | None = None,
    storage: Path | None = None,
    origins: Collection[str] = (),
) -> Json:
    """The product's one origin: `localhost` to gateway and status, `<clone-id>.localhost` to the clones.

    `gateway` and `status` are Caddy dial addresses (`127.0.0.1:9001`, `unix//path`). New clones need no reload: the
    socket `<cells>/<clone-id>/web.sock` of the clone's own web server is looked up per request, and it is all of a
    clone that is ever opened here. `hosts` are further names of the main origin;
    a request under any other name is refused, so that no foreign page can reach a local API by rebinding its DNS name.
    None: any name is its, where every call needs a key.
    Pages of `origins` may read what Caddy itself answers while a service is away.
    """
    own = {} if hosts is None else {"host": ["localhost", "127.0.0.1", "[::1]", "::1", *hosts]}
    routes: list[Json] = [
        {
            "match": [{"header_regexp": {"Host": {"name": "clone", "pattern": CLONE_HOST}}}],
            "handle": [subroute(clone_routes(cells))],
            "terminal": True,
        },
        {"match": [{"host": ["*.localhost"]}], "handle": [gone()], "terminal": True},
        {
            "match": [own | {"path": list(status_paths)}],
            "handle": [service_proxy(status)],
            "terminal": True,
        },
        {"match": [own], "handle": [service_proxy(gateway)], "terminal": True},
        *identified(text(421, "This server does not answer for that host name.\n")),
    ]
    errors = [{"match": [own], "handle": [subroute(service_away(origins))], "terminal": True}]
    return server_config(port, listen, routes, errors=errors, admin_socket=admin_socket, storage=storage)


def service_away(origins: Collection[str]) -> list[Json]:
    """What is answered in place of a service that does not: a problem as the services write theirs."""
    body = problem_document(
        502,
        "service_away",
        "A part of Siteferry that answers this is being started, or is away.",
        hint="Try again shortly; nothing has been lost. An Idempotency-Key makes trying again safe.",
    )
    answer = static(502, json.dumps(body), PROBLEM)
    answer["headers"] |= {"Retry-After": ["2"], "Vary": ["Origin"]}
    readable = {"Access-Control-Allow-Origin": "{http.request.header.Origin}", "Access-Control-Expose-Headers": EXPOSED}
    may_read = {"match": [{"header": {"Origin": sorted(origins)}}], "handle": [headers(readable)]}
    return [*([may_read] if origins else []), *identified(answer)]


def identified(answer: Json) -> list[Json]:
    """This answer with the request's id, which is the caller's where that may be told again."""
    given = {"header_regexp": {"X-Request-ID": {"pattern": f"^(?:{REQUEST_ID.pattern})$"}}}
    own, new = "{http.request.header.X-Request-ID}", "{http.request.uuid}"
    return [
        {"match": [given], "handle": [headers({"X-Request-ID": own}), answer], "terminal": True},
        {"handle": [headers({"X-Request-ID": new}), answer]},
    ]


def clone_routes(cells: Path) -> list[Json]:
    """One virtual host for every clone there is or will be."""
    return [
        {"handle": [headers({"X-Robots-Tag": "noindex, nofollow"})]},
        {"match": [{"not": [{"file": {"root": str(cells), "try_files": [f"{CLONE}/"]}}]}], "handle": [gone()]},
        {"handle": [cell_proxy(f"unix/{cells}/{CLONE}/web.sock")]},
    ]


def cell_proxy(dial: str) -> Json:
    """To a clone's own web server, which its launcher starts when a connection comes.

    Connections are kept for a while after a request: the launcher takes a cell that has none for idle. While the
    launcher is started again its sockets refuse, which is waited for.
    """
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial}],
        "load_balancing": {"try_duration": "5s", "try_interval": "100ms"},
        "transport": {
            "protocol": "http",
            "dial_timeout": "10s",
            "read_timeout": f"{PHP_SECONDS + 15}s",
            "write_timeout": f"{PHP_SECONDS + 15}s",
            "keep_alive": {"enabled": True, "idle_timeout": "15s", "max_idle_conns_per_host": 4},
            "compression": False,
        },
    }


def farm_config(
    *,
    port: int,
    sites_dir: Path,
    php_socket: Path,
    sites: Mapping[str, FarmSite] | None = None,
    listen: Sequence[str] = ("127.0.0.1",),
    admin_socket: Path | None = None,
    storage: Path | None = None,
) -> Json:
    """Ordinary sites: `<sites_dir>/<name>/site` at `http://<name>.localhost:<port>/`, name = one label `[a-z0-9-]+`.

    Sites that are not in `sites` work too, with the ordinary values. A site may set the keys of FARM_PHP_VALUES;
    another key raises `ValueError`, because nothing would set it back for the next site.
    """
    routes = []
    for name, site in (sites or {}).items():
        if unknown := sorted(set(site.php_values) - set(FARM_PHP_VALUES)):
            raise ValueError(f"no ordinary value known for {', '.join(unknown)}: add it to FARM_PHP_VALUES")
        own = [{"match": [{"host": [f"{name}.localhost"]}], "handle": [], "terminal": True}]
        own[0]["handle"] = [subroute(farm_routes(f"{sites_dir}/{name}/site", php_socket, site))]
        routes += own
    pattern = r"^([a-z0-9-]+)\.localhost(?::\d+)?$"
    any_root = f"{sites_dir}/{{http.regexp.site.1}}/site"
    routes.append(
        {
            "match": [{"header_regexp": {"Host": {"name": "site", "pattern": pattern}}}],
            "handle": [subroute(farm_routes(any_root, php_socket, FarmSite()))],
            "terminal": True,
        }
    )
    return server_config(port, listen, routes, admin_socket=admin_socket, storage=storage)


def farm_routes(root: str, php_socket: Path, site: FarmSite) -> list[Json]:
    """One ordinary host: WordPress rules, its own limits, basic auth when asked."""
    front: list[Json] = []
    if site.basic_auth:
        refusal = text(401, "Unauthorized\n")
        refusal["headers"]["WWW-Authenticate"] = ['Basic realm="site"']
        front.append(
            {"match": [{"not": [{"header": {"Authorization": [site.basic_auth.header]}}]}], "handle": [refusal]}
        )
    if site.max_body is not None:
        front.append({"handle": [{"handler": "request_body", "max_size": site.max_body}]})
    return front + php_site(root, php_socket, {**FARM_PHP_VALUES, **site.php_values})


def php_site(root: str, php_socket: Path, php_values: Mapping[str, str]) -> list[Json]:
    """WordPress behind PHP-FPM: existing files, directories with an index.php, everything else to /index.php."""
    directory = {"file": {"root": root, "try_files": ["{http.request.uri.path}/index.php"]}}
    existing = {
        "root": root,
        "try_files": ["{http.request.uri.path}", "{http.request.uri.path}/index.php", "index.php"],
        "split_path": [".php"],
    }
    location = "{http.request.orig_uri.path}/{http.request.orig_uri.prefixed_query}"
    redirect = {"handler": "static_response", "status_code": 308, "headers": {"Location": [location]}}
    return [
        {"handle": [{"handler": "vars", "root": root}]},
        {"match": [{**directory, "not": [{"path": ["*/"]}]}], "handle": [redirect]},
        {
            "match": [{"file": existing}],
            "handle": [{"handler": "rewrite", "uri": "{http.matchers.file.relative}"}],
        },
        {"match": [{"path": ["*.php"]}], "handle": [php_handler(root, php_socket, php_values)]},
        {"handle": [{"handler": "file_server", "root": root, "hide": [".git", ".htaccess"]}]},
    ]


def php_handler(root: str, php_socket: Path, php_values: Mapping[str, str]) -> Json:
    """FastCGI. All values go with every request: a worker would keep those of the site it served before."""
    admin_value = "\n".join(f"{name} = {quoted(value)}" for name, value in php_values.items())
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"unix/{php_socket}"}],
        "transport": {
            "protocol": "fastcgi",
            "root": root,
            "split_path": [".php"],
            "env": {"PHP_ADMIN_VALUE": admin_value},
            "dial_timeout": "10s",
            "read_timeout": f"{PHP_SECONDS + 10}s",
            "write_timeout": f"{PHP_SECONDS + 10}s",
        },
    }


def service_proxy(dial: str) -> Json:
    """To one of our services: WebSockets pass, events are flushed as they come, a restarting service is waited for."""
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial}],
        "flush_interval": -1,
        "load_balancing": {"try_duration": "5s", "try_interval": "100ms"},
        "stream_close_delay": "2s",
    }


def server_config(
    port: int,
    listen: Sequence[str],
    routes: list[Json],
    *,
    admin_socket: Path | None,
    storage: Path | None,
    errors: list[Json] | None = None,
) -> Json:
    """Plain HTTP on the given addresses, nothing else listening, nothing logged per request."""
    admin: Json = {"disabled": True, "config": {"persist": False}}
    if admin_socket:
        admin = {"listen": f"unix/{admin_socket}|0600", "config": {"persist": False}}
    server = {
        "listen": [f"{f'[{host}]' if ':' in host else host}:{port}" for host in listen],
        "automatic_https": {"disable": True},
        "protocols": ["h1"],
        "read_header_timeout": "30s",
        "max_header_bytes": HEAD_READ,
        "idle_timeout": "120s",
        "routes": routes,
    }
    if errors:
        server["errors"] = {"routes": errors}
    encoder = {"format": "console", "level_format": "upper"}
    config: Json = {
        "admin": admin,
        "logging": {"logs": {"default": {"level": "WARN", "exclude": ["admin"], "encoder": encoder}}},
        "apps": {"http": {"grace_period": "5s", "servers": {"edge": server}}},
    }
    if storage:
        config["storage"] = {"module": "file_system", "root": str(storage)}
    return config


def subroute(routes: list[Json]) -> Json:
    return {"handler": "subroute", "routes": routes}


def path_regexp(pattern: str) -> Json:
    return {"path_regexp": {"pattern": pattern}}


def headers(values: Mapping[str, str]) -> Json:
    """Set at the end, over whatever the site says."""
    set_values = {name: [value] for name, value in values.items()}
    return {"handler": "headers", "response": {"set": set_values, "deferred": True}}


def text(status: int, body: str) -> Json:
    return static(status, body, "text/plain; charset=utf-8")


def gone() -> Json:
    return static(404, GONE_PAGE, "text/html; charset=utf-8")


def static(status: int, body: str, content_type: str) -> Json:
    kinds = {"Content-Type": [content_type], "Cache-Control": ["no-store"]}
    return {"handler": "static_response", "status_code": status, "headers": kinds, "body": body}
