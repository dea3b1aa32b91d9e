<?php
/**
 * What makes a clone safe: loaded before every script (prepend.php), outside of the imported files and of the database,
 * so no import can switch it off and no restore can carry it to production.
 *
 * WordPress has not loaded its plugin API yet, so the hooks go into $wp_filter, from where
 * WP_Hook::build_preinitialized_hooks() takes them.
 */

namespace Siteferry\Guard;

if (defined('SITEFERRY_CLONE')) {
    return;
}
define('SITEFERRY_CLONE', true);

/** The facts of this clone, written when it was made. */
function config(): array
{
    static $config = null;
    if ($config === null) {
        $config = require __DIR__ . '/config.php';
    }
    return $config;
}

function hook(string $name, callable $callback, int $arguments = 1, int $priority = PHP_INT_MAX): void
{
    $GLOBALS['wp_filter'][$name][$priority][] = array('function' => $callback, 'accepted_args' => $arguments);
}

/** Appends one line or writes one file of a box that people read through the API; a full disk never breaks the site. */
function keep(string $box, string $name, string $content, bool $append = false): void
{
    $directory = dirname(__DIR__) . '/' . $box;
    @file_put_contents($directory . '/' . $name, $content, $append ? FILE_APPEND | LOCK_EX : 0);
}

// Mail: captured, never sent, and the caller is told it went out, as on production.
function capture_mail($earlier, $mail)
{
    if ($earlier !== null) {
        return $earlier;
    }
    $id = sprintf('%.6F-%s', microtime(true), bin2hex(random_bytes(4)));
    $attachments = array();
    foreach ((array) ($mail['attachments'] ?? array()) as $path) {
        $attachments[] = basename((string) $path);
    }
    $kept = array(
        'id' => $id,
        'time' => gmdate('c'),
        'to' => (array) $mail['to'],
        'subject' => (string) $mail['subject'],
        'headers' => array_values((array) $mail['headers']),
        'body' => (string) $mail['message'],
        'attachments' => $attachments,
    );
    keep('mail', $id . '.json', json_encode($kept, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES));
    return true;
}

// Outgoing HTTP: only to the clone itself and to hosts its owner allowed. This says so at once; what holds is that the
// cell has no network, and that the one proxy it can reach knows the same list.
function deny_http($earlier, $arguments, $url)
{
    if ($earlier !== false || is_allowed_host($url)) {
        return $earlier;
    }
    $host = (string) parse_url($url, PHP_URL_HOST);
    keep('log', 'blocked-http.log', gmdate('c') . ' ' . $host . "\n", true);
    return new \WP_Error('siteferry_http_blocked', "This is a clone: requests to $host are blocked.");
}

function is_allowed_host(string $url): bool
{
    $host = strtolower((string) parse_url($url, PHP_URL_HOST));
    return $host === config()['host'] || in_array($host, config()['allow_http'], true);
}

// Plugins bound to the source's host, its caches or its login stay on disk and in the database, but do not load.
function without_quarantined($plugins)
{
    return is_array($plugins) ? array_values(array_diff($plugins, config()['quarantined_plugins'])) : $plugins;
}

function banner(): void
{
    $source = htmlspecialchars(config()['source'], ENT_QUOTES);
    echo '<!-- siteferry:banner --><div id="siteferry-banner" role="note" style="position:fixed;left:12px;bottom:12px;',
        'z-index:99998;padding:6px 12px;border-radius:999px;background:#12263a;color:#fff;opacity:.88;',
        'font:13px/1.4 system-ui,sans-serif;pointer-events:none">Clone of ', $source,
        ' &middot; safe to break</div><!-- /siteferry:banner -->';
}

if (is_file(__DIR__ . '/login.php')) {
    require_once __DIR__ . '/login.php';
}
if (!empty(config()['media'])) {
    require_once __DIR__ . '/media.php';
}
hook('pre_wp_mail', __NAMESPACE__ . '\\capture_mail', 2);
hook('pre_http_request', __NAMESPACE__ . '\\deny_http', 3);
hook('option_active_plugins', __NAMESPACE__ . '\\without_quarantined');
foreach (array('wp_footer', 'admin_footer', 'login_footer') as $place) {
    hook($place, __NAMESPACE__ . '\\banner', 0);
}
// Not for search engines: the option as WordPress and its plugins see it; the header and robots.txt are the edge's.
hook('pre_option_blog_public', static function () {
    return '0';
});
// Scheduled work never runs here: neither WordPress' cron, however it is called, nor Action Scheduler's queue.
hook('pre_get_ready_cron_jobs', static function () {
    return array();
});
hook('action_scheduler_queue_runner_concurrent_batches', static function () {
    return 0;
});
hook('action_scheduler_allow_async_request_runner', static function () {
    return false;
});
// Pages that only make sense on production would nag or act: update checks call out, recovery mails go nowhere.
hook('automatic_updater_disabled', static function () {
    return true;
});
