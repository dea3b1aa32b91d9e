<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Which tables belong to this site, and what they look like. */
final class Schema {

	/** Tables that together mean: here is a WordPress of its own. */
	const CORE = array('options', 'posts', 'postmeta', 'comments', 'terms', 'term_taxonomy');

	/** Key columns whose order can be asked for with a plain comparison of text or numbers. */
	const KEY_TYPES = array(
		'tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal', 'year', 'char', 'varchar', 'binary', 'varbinary',
		'date', 'datetime', 'timestamp', 'uuid', 'inet4', 'inet6',
	);

	/** @return array<string, mixed> */
	public static function facts(): array {
		global $wpdb;
		$db      = new Connection(false);
		$prefix  = Site::prefix();
		$all     = array_column($db->rows(
			'SELECT TABLE_NAME AS n, TABLE_TYPE AS k, ENGINE AS e, TABLE_ROWS AS r, COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0) AS b, '
			. 'DATA_LENGTH AS d, TABLE_COLLATION AS c FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME'
		), null, 'n');
		$foreign = self::foreign(array_keys($all), $prefix);
		$own     = array();
		$others  = array();
		foreach ($all as $name => $row) {
			$users = in_array($name, array($wpdb->users, $wpdb->usermeta), true); // may have a prefix of their own
			if (!isset($foreign[$name]) && !Names::ours((string) $name) && ($users || strncmp((string) $name, $prefix, strlen($prefix)) === 0)) {
				$own[(string) $name] = $row;
			} elseif (!isset($foreign[$name]) && !Names::ours((string) $name)) {
				$others[] = preg_match('//u', (string) $name) ? (string) $name : rawurlencode((string) $name);
			}
		}
		return array(
			'database'       => self::server($db),
			'prefix'         => $prefix,
			'db_charset'     => defined('DB_CHARSET') ? DB_CHARSET : '',
			'db_collate'     => defined('DB_COLLATE') ? DB_COLLATE : '',
			'tables'         => self::tables($db, $own),
			'foreign_tables' => array_map(static function ($name) use ($foreign) {
				return array('name' => (string) $name, 'reason' => $foreign[$name]);
			}, array_keys($foreign)),
			'other_tables'   => array_slice($others, 0, 200),
			'triggers'       => self::names($db, 'SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()'),
			'routines'       => self::names($db, 'SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()'),
			'events'         => self::names($db, 'SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()'),
		);
	}

	/** How a column travels: int, decimal, double, date, bit, json, geometry, blob, text, cast (a type we do not know: as text). */
	public static function type_class(string $data_type): string {
		static $classes = null;
		if ($classes === null) {
			$classes = array();
			$lists   = array(
				'int'      => 'tinyint smallint mediumint int bigint year',
				'decimal'  => 'decimal',
				'double'   => 'float double',
				'date'     => 'date datetime timestamp time',
				'bit'      => 'bit',
				'json'     => 'json',
				'geometry' => 'geometry point linestring polygon multipoint multilinestring multipolygon geometrycollection geomcollection',
				'text'     => 'char varchar tinytext text mediumtext longtext enum set',
				'blob'     => 'binary varbinary tinyblob blob mediumblob longblob vector',
			);
			foreach ($lists as $class => $types) {
				$classes += array_fill_keys(explode(' ', $types), $class);
			}
		}
		$data_type = strtolower($data_type);
		return isset($classes[$data_type]) ? $classes[$data_type] : 'cast';
	}

	/** @return array<string, array{type: string, charset: string|null, collation: string|null}> the columns as they are now */
	public static function describe(Connection $db, string $table): array {
		$sql     = 'SELECT COLUMN_NAME AS n, DATA_TYPE AS t, CHARACTER_SET_NAME AS cs, COLLATION_NAME AS co FROM information_schema.COLUMNS '
			. 'WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ' . $db->quote($table) . ' ORDER BY ORDINAL_POSITION';
		$columns = array();
		foreach ($db->rows($sql) as $row) {
			$columns[(string) $row['n']] = array('type' => strtolower((string) $row['t']), 'charset' => $row['cs'], 'collation' => $row['co']);
		}
		if (!$columns) {
			throw new Fault('table_gone', 'The table ' . $table . ' does not exist any more.');
		}
		return $columns;
	}

	/**
	 * @param array<string, array<string, string|null>> $own
	 * @return array<int, array<string, mixed>>
	 */
	private static function tables(Connection $db, array $own): array {
		$columns = self::columns($db, $own);
		$keys    = self::keys($db, $columns, $own);
		$tables  = array();
		foreach ($own as $name => $row) {
			$kinds  = array('BASE TABLE' => 'table', 'SYSTEM VERSIONED' => 'table', 'VIEW' => 'view', 'SEQUENCE' => 'sequence');
			$kind   = isset($kinds[$row['k']]) ? $kinds[$row['k']] : strtolower((string) $row['k']);
			$tables[] = self::create($db, $name, $kind) + array(
				'name'       => $name,
				'kind'       => $kind,
				'engine'     => $row['e'],
				'rows'       => (int) $row['r'],
				'bytes'      => (int) $row['b'],
				'data_bytes' => (int) $row['d'],
				'collation'  => $row['c'],
				'columns'    => isset($columns[$name]) ? array_values($columns[$name]) : array(),
				'key'        => isset($keys[$name]) ? $keys[$name] : array(),
			);
		}
		return $tables;
	}

	/** @return array<string, string|null> `create` (UTF-8) or `create_b64`; `create_error` when the server refuses (a view on a missing table) */
	private static function create(Connection $db, string $name, string $kind): array {
		try {
			$rows = $db->rows('SHOW CREATE TABLE ' . Connection::name($name), false);
			$text = isset($rows[0][1]) ? (string) $rows[0][1] : '';
		} catch (Fault $fault) {
			return array('create' => null, 'create_b64' => null, 'create_error' => $fault->getMessage());
		}
		return preg_match('//u', $text)
			? array('create' => $text, 'create_b64' => null)
			: array('create' => null, 'create_b64' => base64_encode($text));
	}

	/**
	 * @param array<string, mixed> $own
	 * @return array<string, array<string, array<string, mixed>>> table => column => description
	 */
	private static function columns(Connection $db, array $own): array {
		$sql    = 'SELECT TABLE_NAME AS t, COLUMN_NAME AS name, COLUMN_TYPE AS type, DATA_TYPE AS data_type, CHARACTER_SET_NAME AS charset, '
			. 'COLLATION_NAME AS collation, IS_NULLABLE AS nullable, EXTRA AS extra FROM information_schema.COLUMNS '
			. 'WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION';
		$tables = array();
		$result = $db->unbuffered($sql);
		while ($row = $result->fetch_assoc()) {
			if (isset($own[$row['t']])) {
				$tables[$row['t']][$row['name']] = array(
					'name'           => $row['name'],
					'type'           => $row['type'],
					'data_type'      => strtolower((string) $row['data_type']),
					'type_class'     => self::type_class((string) $row['data_type']),
					'charset'        => $row['charset'],
					'collation'      => $row['collation'],
					'nullable'       => $row['nullable'] === 'YES',
					'generated'      => (bool) preg_match('/\b(VIRTUAL|STORED|PERSISTENT)\b/i', (string) $row['extra']),
					'auto_increment' => stripos((string) $row['extra'], 'auto_increment') !== false,
				);
			}
		}
		$result->free();
		return $tables;
	}

	/**
	 * The primary key, or else a unique key without NULLs, prefixes and expressions, that rows can be paged by.
	 *
	 * The end of a row's life, which a system-versioned table has in each of its keys, is the same in all rows of today.
	 *
	 * @param array<string, array<string, array<string, mixed>>> $columns
	 * @param array<string, array<string, string|null>> $own
	 * @return array<string, string[]>
	 */
	private static function keys(Connection $db, array $columns, array $own): array {
		$sql     = 'SELECT TABLE_NAME AS t, INDEX_NAME AS i, COLUMN_NAME AS c, SUB_PART AS s FROM information_schema.STATISTICS '
			. 'WHERE TABLE_SCHEMA = DATABASE() AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME <> \'PRIMARY\', INDEX_NAME, SEQ_IN_INDEX';
		$indexes = array();
		$ends    = self::ends_of_rows($db, $own);
		foreach ($db->rows($sql) as $row) {
			$column = $row['c'] !== null && isset($columns[$row['t']][$row['c']]) ? $columns[$row['t']][$row['c']] : null;
			if (isset($ends[$row['t']][$row['c']])) {
				continue;
			}
			$usable = $column !== null && !$column['generated'] && $row['s'] === null && !$column['nullable'] && in_array($column['data_type'], self::KEY_TYPES, true);
			$indexes[$row['t']][$row['i']][] = $usable ? $row['c'] : null;
		}
		$keys = array();
		foreach ($indexes as $table => $candidates) {
			foreach ($candidates as $parts) {
				if (!in_array(null, $parts, true)) {
					$keys[$table] = $parts;
					break;
				}
			}
		}
		return $keys;
	}

	/**
	 * Columns `GENERATED ALWAYS AS ROW END`; only a server that has versions of rows is asked.
	 *
	 * @param array<string, array<string, string|null>> $own
	 * @return array<string, array<string, bool>> table => column => true
	 */
	private static function ends_of_rows(Connection $db, array $own): array {
		$found = array();
		if (in_array('SYSTEM VERSIONED', array_column($own, 'k'), true)) {
			$sql = 'SELECT TABLE_NAME AS t, COLUMN_NAME AS c FROM information_schema.COLUMNS '
				. 'WHERE TABLE_SCHEMA = DATABASE() AND GENERATION_EXPRESSION = \'ROW END\'';
			foreach ($db->rows($sql) as $row) {
				$found[(string) $row['t']][(string) $row['c']] = true;
			}
		}
		return $found;
	}

	/**
	 * Tables that begin with our prefix but belong to another site: `wp_2_posts` beside `wp_posts`.
	 *
	 * @param array<int, int|string> $names
	 * @return array<string, string> name => reason
	 */
	private static function foreign(array $names, string $prefix): array {
		$all   = array_fill_keys(array_map('strval', $names), true);
		$their = array();
		foreach (array_keys($all) as $name) {
			$name = (string) $name;
			if (substr($name, -7) !== 'options' || strncmp($name, $prefix, strlen($prefix)) !== 0) {
				continue;
			}
			$other = substr($name, 0, -7);
			$core  = array_filter(self::CORE, static function ($table) use ($all, $other) {
				return isset($all[$other . $table]);
			});
			if ($other !== $prefix && count($core) === count(self::CORE)) {
				$their[] = $other;
			}
		}
		$foreign = array();
		foreach (array_keys($all) as $name) {
			foreach ($their as $other) {
				if (strncmp((string) $name, $other, strlen($other)) === 0) {
					$foreign[(string) $name] = is_multisite() ? 'network_site' : 'other_install';
				}
			}
		}
		return $foreign;
	}

	/** @return array<string, mixed> */
	private static function server(Connection $db): array {
		$row     = $db->rows('SELECT VERSION() AS v, @@version_comment AS c, @@max_allowed_packet AS p, @@global.sql_mode AS m, DATABASE() AS d, '
			. '@@character_set_database AS cs, @@collation_database AS co, @@lower_case_table_names AS l')[0];
		$version = (string) $row['v'];
		return array(
			'version'                => $version,
			'comment'                => $row['c'],
			'flavour'                => stripos($version . $row['c'], 'mariadb') !== false ? 'mariadb' : 'mysql',
			'max_allowed_packet'     => (int) $row['p'],
			'sql_mode'               => $row['m'],
			'name'                   => $row['d'],
			'charset'                => $row['cs'],
			'collation'              => $row['co'],
			'lower_case_table_names' => (int) $row['l'],
		);
	}

	/** @return string[] */
	private static function names(Connection $db, string $sql): array {
		try {
			return array_map('strval', array_column($db->rows($sql, false), 0));
		} catch (Fault $fault) {
			return array();
		}
	}
}
