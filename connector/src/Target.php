<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** What `inspect` adds when it is asked for a restore: may we write here, and what stands in the way. */
final class Target {

	const MAX_USERS = 10000;

	/** @return array<string, mixed> */
	public static function facts(): array {
		$db    = new Connection(false);
		$users = self::users($db);
		return array(
			'foreign_keys'   => self::foreign_keys($db),
			'triggers_on'    => self::triggers($db),
			'users'          => array_slice($users, 0, self::MAX_USERS),
			'users_cut'      => count($users) > self::MAX_USERS,
			'writable_bases' => array_map(array(self::class, 'writable'), Paths::bases()),
			'privileges'     => self::privileges($db),
		);
	}

	/** @return string[] tables on either end of a foreign key */
	public static function foreign_keys(Connection $db): array {
		$sql = ' FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL';
		return self::column($db, 'SELECT TABLE_NAME' . $sql . ' UNION SELECT REFERENCED_TABLE_NAME' . $sql);
	}

	/** @return string[] tables that have triggers */
	public static function triggers(Connection $db): array {
		return self::column($db, 'SELECT DISTINCT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()');
	}

	/** Whether files can be made in this directory; also when it is not there yet. */
	private static function writable(string $dir): bool {
		while (!file_exists($dir) && dirname($dir) !== $dir) {
			$dir = dirname($dir);
		}
		return is_dir($dir) && is_writable($dir);
	}

	/** @return array<int, array{0: int, 1: string}> */
	private static function users(Connection $db): array {
		global $wpdb;
		$rows = $db->rows('SELECT ID, user_login FROM ' . Connection::name($wpdb->users) . ' ORDER BY ID LIMIT ' . (self::MAX_USERS + 1), false);
		return array_map(static function ($row) {
			return array((int) $row[0], (string) $row[1]);
		}, $rows);
	}

	/** Tried out: what GRANT says is not what a host's proxy or a read-only replica allows. @return array<string, bool> */
	private static function privileges(Connection $db): array {
		$name    = Connection::name('sfn_' . bin2hex(random_bytes(4)) . '_0');
		$other   = Connection::name('sfo_' . bin2hex(random_bytes(4)) . '_0');
		$allowed = array('create' => $db->tried('CREATE TABLE ' . $name . ' (a INT PRIMARY KEY)'), 'alter' => false, 'rename' => false, 'drop' => false);
		if ($allowed['create']) {
			$allowed['alter']  = $db->tried('ALTER TABLE ' . $name . ' AUTO_INCREMENT = 5');
			$allowed['rename'] = $db->tried('RENAME TABLE ' . $name . ' TO ' . $other);
			$allowed['drop']   = $db->tried('DROP TABLE ' . ($allowed['rename'] ? $other : $name));
		}
		return $allowed;
	}

	/** @return string[] */
	private static function column(Connection $db, string $sql): array {
		return array_map('strval', array_column($db->rows($sql, false), 0));
	}
}
