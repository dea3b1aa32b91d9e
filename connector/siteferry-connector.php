<?php
/**
 * Plugin Name:       Siteferry Connector
 * Description:       Lets Siteferry read this site to clone it, and restore a clone to it. Answers signed requests only and removes itself when the work is done.
 * Version:           1.1.0
 * Requires at least: 5.0
 * Requires PHP:      7.4
 * Author:            Siteferry
 * License:           GPL-2.0-or-later
 *
 * @package Siteferry
 */

defined('ABSPATH') || exit;

define('SITEFERRY_CONNECTOR_VERSION', '1.1.0');
define('SITEFERRY_CONNECTOR_FILE', __FILE__);

spl_autoload_register(
	static function ($class) {
		$prefix = 'Siteferry\\Connector\\';
		if (strncmp($class, $prefix, strlen($prefix)) === 0) {
			$file = __DIR__ . '/src/' . substr($class, strlen($prefix)) . '.php';
			if (is_file($file)) {
				require_once __DIR__ . '/src/functions.php';
				require $file;
			}
		}
	}
);

/** Whether all files are here and whole: an installation or a removal may have been broken off, or be at work right now. */
$siteferry_whole = static function () {
	$listed = @file(__DIR__ . '/files.txt', FILE_IGNORE_NEW_LINES);
	foreach (is_array($listed) ? $listed : array() as $line) {
		list($size, $name) = explode(' ', $line, 2) + array('', '');
		if (@filesize(__DIR__ . '/' . $name) !== (int) $size) {
			return false;
		}
	}
	return !empty($listed);
};

if (is_file(__DIR__ . '/journal') && $siteferry_whole()) {
	Siteferry\Connector\Journal::replay(); // an exchange of tables and files was cut off, or is at work right now
}

// Requests are answered while this file loads: before themes, REST, permalinks and maintenance screens have a say.
if (isset($_SERVER['REQUEST_METHOD']) && $_SERVER['REQUEST_METHOD'] === 'POST') {
	$siteferry_home = isset($_GET['siteferry']) && $_GET['siteferry'] === '1';
	$siteferry_ajax = defined('DOING_AJAX') && isset($_GET['action']) && $_GET['action'] === 'siteferry';
	if (($siteferry_home || $siteferry_ajax || defined('SITEFERRY_RESCUE')) && $siteferry_whole()) {
		Siteferry\Connector\Entry::serve();
		exit;
	}
}

register_activation_hook(
	__FILE__,
	static function () use ($siteferry_whole) {
		if ($siteferry_whole()) {
			Siteferry\Connector\Key::ensure();
		}
	}
);

if ((is_admin() || (defined('DOING_CRON') && DOING_CRON)) && $siteferry_whole()) {
	add_action('shutdown', array('Siteferry\\Connector\\Removal', 'when_expired')); // last: the other hooks need their files
	add_action('admin_menu', array('Siteferry\\Connector\\Admin', 'menu'));
	add_action('admin_post_siteferry_key', array('Siteferry\\Connector\\Admin', 'regenerate'));
}
