<?php
/**
 * A second door for a site whose plugins or theme stop WordPress: it loads WordPress without them and answers the few
 * requests that bring the site back. Nothing at all happens before the request's signature is verified.
 *
 * @package Siteferry
 */

$siteferry_body = isset($_SERVER['REQUEST_METHOD']) && $_SERVER['REQUEST_METHOD'] === 'POST' ? (string) file_get_contents('php://input') : '';
$siteferry_key  = is_file(__DIR__ . '/key.php') ? include __DIR__ . '/key.php' : null;
if (
	!is_array($siteferry_key) || empty($siteferry_key['key'])
	|| !preg_match('/^SF1\.([0-9a-f]{64})\.([A-Za-z0-9+\/=]+)\s*$/D', $siteferry_body, $siteferry_parts)
	|| !hash_equals(hash_hmac('sha256', $siteferry_parts[2], (string) hex2bin($siteferry_key['key'])), $siteferry_parts[1])
) {
	http_response_code(404);
	exit;
}

/** WordPress's directory: above this one, or beside one of those above (`wp/`, as in many layouts). */
function siteferry_abspath() {
	$noted = @file_get_contents(__DIR__ . '/abspath');
	if (is_string($noted) && is_file($noted . '/wp-load.php')) {
		return $noted;
	}
	for ($dir = dirname(__DIR__); dirname($dir) !== $dir; $dir = dirname($dir)) {
		foreach (array($dir, $dir . '/wp', $dir . '/wordpress', $dir . '/core') as $place) {
			if (@is_file($place . '/wp-load.php')) {
				return $place;
			}
		}
	}
	return null;
}

$siteferry_home = siteferry_abspath();
if ($siteferry_home === null) {
	http_response_code(404);
	exit;
}
define('SHORTINIT', true);
define('SITEFERRY_RESCUE', true);
require $siteferry_home . '/wp-load.php';
require __DIR__ . '/siteferry-connector.php';
