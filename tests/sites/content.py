"""What ordinary sites are filled with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.sites.site import Site


def fill(site: Site) -> dict[str, Any]:
    """A dozen posts, three pages, a menu, widgets, comments, one picture with its sizes, and values that hold the
    site's address in the usual shapes (serialized, JSON, urlencoded). Returns the ids made."""
    made: dict[str, Any] = site.php_asset("content.php", {"home": site.home})
    return made


def make_network(site: Site) -> None:
    """Turn the site into the main site of a multisite network (sub-directory style)."""
    site.php_asset("network.php", {"email": site.spec.email})
    config = next(path for path in (site.abspath / "wp-config.php", site.docroot / "wp-config.php") if path.exists())
    host = site.home.removeprefix("http://").split("/")[0]
    lines = {
        "WP_ALLOW_MULTISITE": "true",
        "MULTISITE": "true",
        "SUBDOMAIN_INSTALL": "false",
        "DOMAIN_CURRENT_SITE": f"'{host}'",
        "PATH_CURRENT_SITE": "'/'",
        "SITE_ID_CURRENT_SITE": "1",
        "BLOG_ID_CURRENT_SITE": "1",
    }
    defines = "".join(f"define( '{name}', {value} );\n" for name, value in lines.items())
    site.write(
        str(config.relative_to(site.docroot)), re.sub(r"(?m)^(?=\$table_prefix)", defines, config.read_text(), count=1)
    )
