<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** What WordPress may reach its database with: a drop-in db.php can have other words for it than wp-config.php. */
final class Accounts {

	/** @return array<int, array<int, string>> host, user, password and database; first what WordPress really uses */
	public static function all(): array {
		global $wpdb;
		$all = array();
		foreach (array('hyper_servers', 'ludicrous_servers') as $servers) { // HyperDB, LudicrousDB
			$groups = isset($wpdb->{$servers}['global']['write']) ? (array) $wpdb->{$servers}['global']['write'] : array();
			foreach (array_merge(array(), ...array_values($groups)) as $server) {
				$server += array('host' => '', 'user' => '', 'password' => '', 'name' => '');
				$all[]   = array($server['host'], $server['user'], $server['password'], $server['name']);
			}
		}
		if (isset($wpdb->dbhost, $wpdb->dbuser, $wpdb->dbpassword, $wpdb->dbname)) { // wpdb shows what it protects
			$all[] = array($wpdb->dbhost, $wpdb->dbuser, $wpdb->dbpassword, $wpdb->dbname);
		}
		$all[] = array(DB_HOST, DB_USER, DB_PASSWORD, DB_NAME);
		return array_unique($all, SORT_REGULAR);
	}
}
