<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Reads one table page by page: the SQL, and the place it has reached. */
final class Query {

	/** Data types that can hold a cell larger than the smallest limit. */
	const LARGE = array('mediumtext', 'longtext', 'mediumblob', 'longblob', 'json');

	/** @var string */
	public $name;

	/** @var string[] column names, in the order they are sent */
	public $columns = array();

	/** @var bool[] per column: can its text need escaping */
	public $escape = array();

	/** @var bool[] per column: may it be fetched in pieces */
	public $big = array();

	/** @var int|null index of the result column that says "this row has a large cell" */
	public $flag = null;

	/** @var int bytes above which a cell is fetched in pieces */
	public $threshold;

	/** @var int rows per page */
	public $limit = 10000;

	/** @var array<int, string|null>|null the last row read */
	public $last = null;

	/** @var int rows passed so far */
	public $seen = 0;

	/** @var int rows whose end was announced */
	public $saved = 0;

	/** @var Connection */
	private $db;

	/** @var RowKey */
	public $key;

	/** @var string[]|null key values to continue after */
	private $after = null;

	/** @var string|null only the rows with these keys, as SQL */
	private $only = null;

	/** @var string */
	private $select;

	/** @var string */
	private $exclusions;

	/** @var string[] raw expression per column */
	private $plain = array();

	/** @var string */
	private $hint = '';

	/**
	 * @param array<string, mixed> $table name, columns (names or arrays with `name`), key (names), where (exclusions)
	 * @throws Fault table_gone, schema_changed
	 */
	public function __construct(Connection $db, array $table, int $big_cell) {
		$this->db         = $db;
		$this->name       = (string) $table['name'];
		$this->exclusions = self::exclusions($table);
		$actual           = Schema::describe($db, $this->name);
		$wanted           = isset($table['columns']) ? (array) $table['columns'] : array();
		foreach ($wanted ? $wanted : array_keys($actual) as $column) {
			$column = (string) (is_array($column) ? $column['name'] : $column);
			if (!isset($actual[$column])) {
				throw new Fault('schema_changed', 'The table ' . $this->name . ' has no column ' . $column . ' any more.');
			}
			$this->columns[] = $column;
		}
		$large           = count(array_filter($this->columns, static function ($c) use ($actual) {
			return in_array($actual[$c]['type'], self::LARGE, true);
		}));
		$this->threshold = (int) max(65536, min($big_cell, 8 * $big_cell / max(1, $large)));
		$this->choose($actual);
		$this->keyed(isset($table['key']) ? (array) $table['key'] : array(), $actual);
	}

	/** @param array<string, mixed> $cursor */
	public function seek(array $cursor): void {
		if ($this->key->parts && isset($cursor['key'])) {
			$this->after = array_map('base64_decode', (array) $cursor['key']);
			if (count($this->after) !== count($this->key->parts)) {
				throw new Fault('bad_cursor', 'The cursor does not fit the key of ' . $this->name . '.');
			}
		}
		$this->seen  = isset($cursor['offset']) ? (int) $cursor['offset'] : 0;
		$this->saved = $this->seen;
	}

	/**
	 * From now on only the rows with these keys are read.
	 *
	 * @param array<int, array<int, string|null>> $keys values in the order of the key's columns
	 */
	public function only(array $keys): void {
		$this->only = $this->key->among($keys);
	}

	/** @return array{table: string, key: string[]|null, offset: int} */
	public function position(): array {
		$key = $this->key_values();
		return array(
			'table'  => $this->name,
			'key'    => $key === null ? null : array_map('base64_encode', $key),
			'offset' => $this->seen,
		);
	}

	/** The next page. Without a key: all that is left, in storage order. */
	public function sql(): string {
		$from = 'SELECT ' . $this->select . ' FROM ' . Connection::name($this->name);
		if ($this->only !== null) {
			return $from . ' WHERE ' . $this->only . ($this->exclusions === '' ? '' : ' AND ' . $this->exclusions);
		}
		if (!$this->key->parts) {
			$this->limit = PHP_INT_MAX;
			$where       = $this->exclusions === '' ? '' : ' WHERE ' . $this->exclusions;
			return $from . $where . ($this->seen > 0 ? ' LIMIT ' . $this->seen . ', 18446744073709551615' : '');
		}
		$after = $this->key_values();
		$where = array_filter(array($after === null ? '' : $this->key->beyond($after), $this->exclusions));
		return $from . $this->hint . ($where ? ' WHERE ' . implode(' AND ', $where) : '')
			. ' ORDER BY ' . implode(', ', $this->key->names())
			. ' LIMIT ' . $this->limit;
	}

	/**
	 * One cell of one row: its length in bytes, or a piece of its bytes.
	 *
	 * @param array<int, string|null> $row
	 * @param array{0: int, 1: int}|null $piece position (from 1) and length
	 */
	public function cell_sql(array $row, int $column, ?array $piece): string {
		$cell = $this->plain[$column];
		$expr = $piece === null ? 'LENGTH(' . $cell . ')' : 'SUBSTRING(CAST(' . $cell . ' AS BINARY), ' . $piece[0] . ', ' . $piece[1] . ')';
		$sql  = 'SELECT ' . $expr . ' FROM ' . Connection::name($this->name);
		if (!$this->key->parts) {
			return $sql . ($this->exclusions === '' ? '' : ' WHERE ' . $this->exclusions) . ' LIMIT ' . $this->seen . ', 1';
		}
		return $sql . ' WHERE ' . $this->key->among(array($this->key->values($row)));
	}

	/**
	 * Rows that stay behind, as SQL that is true for the others. NULL never matches an exclusion.
	 *
	 * @param array<string, mixed> $table `where`: list of {column, not_like: [patterns]} and {column, not_in: [texts or integers]}
	 */
	public static function exclusions(array $table): string {
		$all = array();
		foreach (isset($table['where']) ? (array) $table['where'] : array() as $rule) {
			$column = Connection::name((string) $rule['column']);
			$parts  = array();
			foreach (isset($rule['not_like']) ? (array) $rule['not_like'] : array() as $pattern) {
				$parts[] = $column . " NOT LIKE X'" . bin2hex((string) $pattern) . "'";
			}
			$values = array();
			foreach (isset($rule['not_in']) ? (array) $rule['not_in'] : array() as $value) {
				$values[] = is_int($value) ? (string) $value : "X'" . bin2hex((string) $value) . "'";
			}
			if ($values) {
				$parts[] = $column . ' NOT IN (' . implode(', ', $values) . ')';
			}
			if ($parts) {
				$all[] = '(' . $column . ' IS NULL OR (' . implode(' AND ', $parts) . '))';
			}
		}
		return implode(' AND ', $all);
	}

	/** @param array<string, array{type: string, charset: string|null, collation: string|null}> $actual */
	private function choose(array $actual): void {
		$select = array();
		$flags  = array();
		foreach ($this->columns as $i => $column) {
			$type            = $actual[$column]['type'];
			$class           = Schema::type_class($type);
			$cell            = Connection::name($column);
			$this->big[$i]   = in_array($type, self::LARGE, true);
			$this->plain[$i] = $class === 'json' ? 'CAST(' . $cell . ' AS CHAR)' : $cell;
			$this->escape[$i] = in_array($class, array('text', 'blob', 'json', 'geometry', 'cast'), true);
			if ($this->big[$i]) {
				$large    = 'LENGTH(' . $this->plain[$i] . ') > ' . $this->threshold;
				$flags[]  = $large;
				$select[] = 'IF(' . $large . ', NULL, ' . $cell . ')';
			} elseif ($class === 'bit') {
				$select[] = 'CAST(' . $cell . ' AS UNSIGNED)';
			} elseif ($class === 'double') {
				$select[] = $cell . ' * 1e0'; // a FLOAT alone is shown with 6 digits; as a double with all it has
			} elseif ($class === 'cast') {
				$select[] = 'CAST(' . $cell . ' AS CHAR CHARACTER SET utf8mb4)';
			} else {
				$select[] = $cell;
			}
		}
		if ($flags) {
			$this->flag = count($select);
			$select[]   = '(' . implode(' OR ', $flags) . ')';
		}
		$this->select = implode(', ', $select);
	}

	/**
	 * @param array<int, mixed> $key
	 * @param array<string, array{type: string, charset: string|null, collation: string|null}> $actual
	 */
	private function keyed(array $key, array $actual): void {
		$this->key = new RowKey($this->name, $key, $actual);
		$width     = count($this->columns) + ($this->flag === null ? 0 : 1);
		foreach ($this->key->parts as $i => $part) {
			$index = array_search($part['name'], $this->columns, true);
			if ($index === false) {
				$this->select .= ', ' . Connection::name($part['name']);
				$index         = $width++;
			}
			$this->key->parts[$i]['index'] = (int) $index;
		}
		$this->hint = $this->key->index_hint($this->db);
	}

	/** @return string[]|null */
	private function key_values(): ?array {
		if ($this->last === null || !$this->key->parts) {
			return $this->key->parts ? $this->after : null;
		}
		return $this->key->values($this->last);
	}
}
