"""Plugins and drop-ins that belong to the source's host, and one that reaches for the outside world."""

from __future__ import annotations

import os

from tests.sites.core import ASSETS
from tests.sites.site import Site

DROP_INS = ("object-cache.php", "advanced-cache.php", "db.php")


def drop_ins(site: Site) -> list[str]:
    """object-cache.php, advanced-cache.php and db.php. Each does nothing but define NASTY_<NAME> when it loads.

    advanced-cache.php loads only on a site made with constants={"WP_CACHE": True}.
    """
    for name in DROP_INS:
        constant = "NASTY_" + name.removesuffix(".php").replace("-", "_").upper()
        body = f"<?php\n/* Drop-in of the source's host. */\ndefine( '{constant}', true );\n"
        site.write(os.path.relpath(site.content / name, site.docroot), body)
    return list(DROP_INS)


def host_bound(site: Site) -> dict[str, str]:
    """The caching plugin of a hosting company, active, and a must-use plugin of another.

    Both send a header when they run: X-SG-Cachepress, X-Endurance. Returns kind -> plugin file.
    """
    site.plugin("sg-cachepress", (ASSETS / "plugins" / "sg-cachepress.php").read_text())
    site.mu_plugin(
        "endurance-page-cache",
        "<?php\n/* Plugin Name: Endurance Page Cache */\nadd_action( 'send_headers', function () {\n"
        "\theader( 'X-Endurance: on' );\n} );\n",
    )
    return {"plugin": "sg-cachepress/sg-cachepress.php", "mu": "endurance-page-cache.php"}


def noisy(site: Site) -> str:
    """A plugin that mails, calls out, runs programs and reads other people's files when asked to.

    GET /?noisy=<what>[&to=…|&url=…|&path=…|&cmd=…|&port=…] answers JSON {"what", "ok", "said"}:
    mail (wp_mail to `to`), phpmail (mail()), http (wp_remote_get `url`), curl (raw cURL), fopen (file_get_contents
    `url`), socket (fsockopen 127.0.0.1:`port`), exec (`cmd`), read (file_get_contents `path`), write
    (file_put_contents `path`), list (scandir `path`), cron (schedules an event and spawns cron), cron_ran (how often
    it ran), drop_ins (which of the drop-ins above loaded), ini (`name`), env (`name`). Returns the plugin's file.
    """
    site.plugin("noisy", (ASSETS / "plugins" / "noisy.php").read_text())
    return "noisy/noisy.php"
