<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** What writing to a table has to know of its columns. */
final class Columns {

	/** @return string[] columns that are stored (not generated), in order */
	public static function stored(Connection $db, string $table): array {
		$sql   = 'SELECT COLUMN_NAME AS n, EXTRA AS e FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '
			. $db->quote($table) . ' ORDER BY ORDINAL_POSITION';
		$names = array();
		foreach ($db->rows($sql) as $row) {
			if (!preg_match('/\b(VIRTUAL|STORED|PERSISTENT)\b/i', (string) $row['e'])) {
				$names[] = (string) $row['n'];
			}
		}
		if (!$names) {
			throw new Fault('table_gone', 'The table ' . $table . ' does not exist any more.');
		}
		return $names;
	}

	/** The column that numbers new rows, if the table has one. */
	public static function auto_increment(Connection $db, string $table): ?string {
		$sql = 'SELECT COLUMN_NAME AS n FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ' . $db->quote($table)
			. " AND EXTRA LIKE '%auto_increment%' AND DATA_TYPE IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint')";
		$row = $db->rows($sql);
		return $row ? (string) $row[0]['n'] : null;
	}

	/** The id the next row gets. */
	public static function next_id(Connection $db, string $table): ?int {
		$sql = 'SELECT AUTO_INCREMENT AS a FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ' . $db->quote($table);
		$row = $db->rows($sql);
		return $row && $row[0]['a'] !== null ? (int) $row[0]['a'] : null;
	}

	/** The largest id the type of this column holds; an id is never raised beyond. */
	public static function largest(Connection $db, string $table, string $column): int {
		$sql  = 'SELECT DATA_TYPE AS d, COLUMN_TYPE AS t FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '
			. $db->quote($table) . ' AND COLUMN_NAME = ' . $db->quote($column);
		$row  = $db->rows($sql)[0];
		$bits = array('tinyint' => 8, 'smallint' => 16, 'mediumint' => 24, 'int' => 32, 'bigint' => 63);
		$type = strtolower((string) $row['d']);
		$size = isset($bits[$type]) ? $bits[$type] : 32;
		$size = $size < 63 && stripos((string) $row['t'], 'unsigned') === false ? $size - 1 : $size;
		return $size === 63 ? PHP_INT_MAX : (1 << $size) - 1;
	}

	/**
	 * A cell as SQL whose value is the very bytes, whatever the column's type.
	 */
	public static function literal(?string $value, string $class): string {
		if ($value === null) {
			return 'NULL';
		}
		if ($value === '') {
			return "''";
		}
		switch ($class) {
			case 'int':
			case 'decimal':
			case 'bit':
				$plain = preg_match('/^-?\d+(\.\d+)?$/D', $value);
				return $plain ? $value : "X'" . bin2hex($value) . "'";
			case 'double':
			case 'date':
				return preg_match('/^[0-9 :.e+\-]+$/D', $value) ? "'" . $value . "'" : "X'" . bin2hex($value) . "'";
			case 'json':
			case 'cast':
				return "CONVERT(X'" . bin2hex($value) . "' USING utf8mb4)";
		}
		return "X'" . bin2hex($value) . "'";
	}
}
