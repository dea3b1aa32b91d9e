<?php
/**
 * Says which of the clone's users a name or an e-mail address belongs to, so that a login link can be made for it. Reads
 * JSON {"config", "host", "user"} from standard input, prints JSON {"user_id", "login"}; user_id is 0 when there is no
 * such user. Runs inside the clone's WordPress, but without its plugins and themes.
 */

error_reporting(E_ALL & ~E_DEPRECATED & ~E_NOTICE & ~E_WARNING);
ini_set('display_errors', 'stderr');
$wanted = json_decode(stream_get_contents(STDIN), true);
$_SERVER['HTTP_HOST'] = $wanted['host'];
$_SERVER['REQUEST_URI'] = '/';
$_SERVER['REQUEST_METHOD'] = 'GET';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
define('WP_INSTALLING', true); // loads neither plugins nor theme
define('WPMU_PLUGIN_DIR', __DIR__ . '/no-mu-plugins');
require $wanted['config'];

$name = (string) $wanted['user'];
$user = get_user_by('login', $name) ?: get_user_by('email', $name);
echo json_encode(array('user_id' => $user ? (int) $user->ID : 0, 'login' => $user ? (string) $user->user_login : ''));
