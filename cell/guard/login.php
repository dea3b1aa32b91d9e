<?php
/**
 * A login link: whoever opens it within its time is signed in to wp-admin, once. The address carries
 * `siteferry_login=<end>.<user id>.<number>.<seal>`; the seal is an HMAC-SHA256 of the rest, made with a key that lies
 * beside this file and that no other clone has. Nothing of this is in the site's files or rows, so a restore carries
 * neither the key nor what would believe it.
 */

namespace Siteferry\Guard;

const LOGIN_FIELD = 'siteferry_login';
const LOGIN_LONGEST = 120;
const LOGIN_USED = 'siteferry-login-';

function take_login_link(): void
{
    $link = $_GET[LOGIN_FIELD] ?? null;
    if ($link === null || ($_SERVER['REQUEST_METHOD'] ?? '') !== 'GET') {
        return;
    }
    $looking = ($_SERVER['HTTP_SEC_PURPOSE'] ?? '') . ($_SERVER['HTTP_PURPOSE'] ?? '');
    if ($looking !== '') { // a browser that looks ahead must not use it up
        refuse_login(503, 'Open this link to use it.');
    }
    $user = is_string($link) ? user_of_link($link) : 0;
    if ($user === 0) {
        refuse_login(403, 'This login link has been used, or its minute is over. Ask for another one.');
    }
    ob_start(); // a plugin that prints while it is loaded must not keep the cookie from being sent
    // before everything that may turn strangers away: nothing of the site has a word in it
    hook('plugins_loaded', static function () use ($user) {
        sign_in($user);
    }, 0, PHP_INT_MIN);
}

/** Whom a link signs in; 0 when it is none of ours, too old, or was used. Using it is one step: of two, one gets 0. */
function user_of_link(string $link): int
{
    $parts = array();
    $key = is_file(__DIR__ . '/login-key.php') ? (string) require __DIR__ . '/login-key.php' : '';
    $form = '/^(?<said>(?<end>\d{10,12})\.(?<user>[1-9]\d{0,17})\.(?<number>[0-9a-f]{32}))\.(?<seal>[0-9a-f]{64})$/D';
    if ($key === '' || !preg_match($form, $link, $parts)) {
        return 0;
    }
    $left = (int) $parts['end'] - time();
    if (!hash_equals(hash_hmac('sha256', $parts['said'], $key), $parts['seal']) || $left < 0 || $left > LOGIN_LONGEST) {
        return 0;
    }
    $directory = dirname(__DIR__) . '/tmp/';
    foreach (glob($directory . LOGIN_USED . '*') ?: array() as $old) {
        if (@filemtime($old) < time() - 2 * LOGIN_LONGEST) {
            @unlink($old);
        }
    }
    return @fopen($directory . LOGIN_USED . $parts['number'], 'x') === false ? 0 : (int) $parts['user'];
}

function sign_in(int $id): void
{
    $user = get_user_by('id', $id);
    if (!$user) {
        refuse_login(403, 'The user of this login link is gone.');
    }
    wp_set_current_user($id);
    wp_set_auth_cookie($id, false);
    header('Cache-Control: no-store');
    header('Referrer-Policy: no-referrer');
    wp_safe_redirect(user_can($user, 'edit_posts') ? admin_url() : admin_url('profile.php'), 302, 'Siteferry');
    exit;
}

function refuse_login(int $status, string $why): void
{
    http_response_code($status);
    header('Content-Type: text/html; charset=utf-8');
    header('Cache-Control: no-store');
    header('Referrer-Policy: no-referrer');
    echo '<!doctype html><html lang="en"><meta name="robots" content="noindex"><title>Login link</title>',
        '<body style="font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em"><h1>Login link</h1><p>',
        htmlspecialchars($why, ENT_QUOTES), '</p></body></html>';
    exit;
}

take_login_link();
