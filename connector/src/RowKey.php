<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** The columns rows of one table are told apart by: as conditions in SQL, and as text. */
final class RowKey {

	/** @var array<int, array{name: string, index: int, type: string, charset: string|null, collation: string|null}> `index`: where the value is in a row */
	public $parts = array();

	/** @var string */
	private $table;

	/**
	 * @param array<int, mixed> $columns names of the key's columns, none for a table without key
	 * @param array<string, array{type: string, charset: string|null, collation: string|null}> $actual the table's columns
	 */
	public function __construct(string $table, array $columns, array $actual) {
		$this->table = $table;
		foreach ($columns as $i => $column) {
			$column = (string) $column;
			if (!isset($actual[$column]) || !in_array($actual[$column]['type'], Schema::KEY_TYPES, true)) {
				throw new Fault('schema_changed', 'The key of the table ' . $table . ' has changed.');
			}
			$this->parts[] = array('name' => $column, 'index' => $i) + $actual[$column];
		}
	}

	/** @return string[] the columns, quoted */
	public function names(): array {
		return array_map(array(Connection::class, 'name'), array_column($this->parts, 'name'));
	}

	/**
	 * @param array<int, string|null> $row
	 * @return string[]
	 */
	public function values(array $row): array {
		$values = array();
		foreach ($this->parts as $part) {
			$values[] = (string) $row[$part['index']];
		}
		return $values;
	}

	/**
	 * The key of a row as text with a tab behind it; nothing without a key.
	 *
	 * @param array<int, string|null> $row
	 */
	public function line(array $row): string {
		$line = '';
		foreach ($this->parts as $part) {
			$line .= Lines::escaped((string) $row[$part['index']]) . "\t";
		}
		return $line;
	}

	/**
	 * A condition that is true for the rows with these keys.
	 *
	 * @param array<int, array<int, string|null>> $keys
	 */
	public function among(array $keys): string {
		if (!$this->parts || !$keys) {
			throw new Fault('bad_params', 'The table ' . $this->table . ' can not be asked by key.');
		}
		$rows = array();
		foreach ($keys as $values) {
			if (count($values) !== count($this->parts) || in_array(null, $values, true)) {
				throw new Fault('bad_params', 'A key does not fit the table ' . $this->table . '.');
			}
			$literals = array();
			foreach ($this->parts as $i => $part) {
				$literals[] = $this->literal((string) $values[$i], $part);
			}
			$rows[] = $literals;
		}
		if (count($this->parts) === 1) {
			return Connection::name($this->parts[0]['name']) . ' IN (' . implode(', ', array_column($rows, 0)) . ')';
		}
		$names = $this->names();
		$equal = array();
		foreach ($rows as $literals) {
			$equal[] = '(' . implode(' AND ', array_map(static function ($name, $literal) {
				return $name . ' = ' . $literal;
			}, $names, $literals)) . ')';
		}
		return '(' . implode(' OR ', $equal) . ')';
	}

	/** The server must walk the key's own index: sorting a large table for every page would not end. */
	public function index_hint(Connection $db): string {
		if (!$this->parts) {
			return '';
		}
		$indexes = array();
		foreach ($db->rows('SHOW INDEX FROM ' . Connection::name($this->table)) as $row) {
			if ((string) $row['Non_unique'] === '0') {
				$indexes[(string) $row['Key_name']][] = (string) $row['Column_name'];
			}
		}
		$name = array_search(array_column($this->parts, 'name'), $indexes, true);
		return $name === false ? '' : ' FORCE INDEX (' . Connection::name((string) $name) . ')';
	}

	/**
	 * The condition for rows after this key, written out as ranges the server reads from the index.
	 *
	 * @param string[] $values
	 */
	public function beyond(array $values): string {
		$ranges = array();
		$equal  = '';
		foreach ($this->parts as $i => $part) {
			$cell     = Connection::name($part['name']);
			$literal  = $this->literal($values[$i], $part);
			$ranges[] = '(' . $equal . $cell . ' > ' . $literal . ')';
			$equal   .= $cell . ' = ' . $literal . ' AND ';
		}
		return '(' . implode(' OR ', $ranges) . ')';
	}

	/**
	 * A key value as the column itself would compare it: numbers bare, text with the column's character set and collation.
	 *
	 * @param array{type: string, charset: string|null, collation: string|null} $part
	 */
	public function literal(string $value, array $part): string {
		$class = Schema::type_class($part['type']);
		if ($class === 'int' || $class === 'decimal') {
			if (!preg_match('/^-?\d+(\.\d+)?$/D', $value)) {
				throw new Fault('bad_cursor', 'The cursor does not fit the key of ' . $this->table . '.');
			}
			return $value;
		}
		if ($class === 'date') {
			if (!preg_match('/^[0-9 :.\-]*$/D', $value)) {
				throw new Fault('bad_cursor', 'The cursor does not fit the key of ' . $this->table . '.');
			}
			return "'" . $value . "'";
		}
		if ($class === 'cast') {
			return "CONVERT(X'" . bin2hex($value) . "' USING utf8mb4)";
		}
		if ($part['charset'] === null) {
			return "_binary X'" . bin2hex($value) . "'";
		}
		return '_' . $part['charset'] . " X'" . bin2hex($value) . "' COLLATE " . $part['collation'];
	}
}
