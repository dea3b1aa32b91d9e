"""What happens on a site while it runs, and where it is: nobody's work, and of no use to another site."""

from __future__ import annotations

import re
from collections.abc import Sequence

RUNTIME_TABLES = re.compile(
    # schedules and queues, wherever they are kept
    r"^(actionscheduler_\w+|cavalcade_\w+|(queue|failed)_jobs|\w*_queues?|\w*_?scheduled_tasks?\w*|mailpoet_sending_\w+|"
    # sessions, and who tried to sign in
    r"(\w*_)?sessions?|\w*login_(attempts?|history|log|lockdown|activity)|\w*_?lockouts?|"
    r"limit_login\w*|loginizer\w*|(itsec|aiowps|cerber|defender|sucuri|wf)_?\w*|"
    # logs and audits
    r"(\w*_)?logs?|\w*_log_\w*|(\w*_)?audit(_\w*)?|\w*activity_logs?\w*|simple_history\w*|wsal_\w+|stream(_meta)?|"
    r"redirection_404|\w*_404_?\w*|blc_\w+|"
    # counts of visits
    r"\w*_?statistics_\w+|slim_stats\w*|koko_analytics\w*|burst_\w+|independent_analytics\w*|matomo_\w+|"
    r"post_views\w*|popularposts\w*|(\w*_)?(visits?|visitors?|hits|pageviews)|wc_rate_limits)$"
)
"""Tables of schedules, sessions, logs, by name without prefix."""
RUNTIME_OPTIONS = (
    "siteurl home blog_public admin_email new_admin_email upload_path upload_url_path mailserver_url mailserver_login "
    "mailserver_pass mailserver_port db_version initial_db_version db_upgraded cron rewrite_rules recently_edited "
    "auto_updater.lock core_updater.lock auth_key secure_auth_key logged_in_key nonce_key auth_salt secure_auth_salt "
    "logged_in_salt nonce_salt fresh_site https_detection_errors can_compress_scripts"
).split()
"""They say where the site is, who runs it, and what happens on it right now."""
RUNTIME_OPTIONS_LIKE = (
    r"auto\_core\_update%",
    r"auto\_plugin\_theme\_update%",
    r"recovery\_%",
    r"siteferry%",
    r"\_transient\_%",
    r"\_site\_transient\_%",
    r"\_wc\_session\_%",
)


def serialized(texts: Sequence[str]) -> bytes:
    """A list of texts as PHP serializes it."""
    parts = [b'i:%d;s:%d:"%b";' % (i, len(text.encode()), text.encode()) for i, text in enumerate(texts)]
    return b"a:%d:{%b}" % (len(texts), b"".join(parts))
