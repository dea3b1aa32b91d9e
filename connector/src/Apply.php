<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * `stage.apply`: rows into a staged table, as their text says, byte for byte; one transaction, and the same when repeated.
 *
 * Deletes come first, then rows (each replaces the row of its key), then `appends`: further pieces of cells that were
 * too large for one request, each good only at its own offset.
 */
final class Apply {

	const MAX_ROWS = 300;

	/** @var Connection */
	private $db;

	/** @var string */
	private $table;

	/** @var string */
	private $shown;

	/** @var string[] */
	private $columns = array();

	/** @var string[] type class per column */
	private $classes = array();

	/** @var bool[] per column: an ENUM, whose error value '' only a lax server takes */
	private $enums = array();

	/** @var RowKey */
	private $key;

	/** @var int longest statement, in bytes */
	private $limit;

	/** @var array<string, mixed> */
	private $params;

	/** @var array{upserted: int, deleted: int} */
	private $result = array('upserted' => 0, 'deleted' => 0);

	/** @param array<string, mixed> $params restore, n, columns, key, upserts_b64, deletes_b64, appends, first */
	public function __construct(array $params) {
		$manifest = Manifest::of($params);
		Staging::open($manifest);
		$table        = $manifest->table($params['n'] ?? null);
		$this->params = $params;
		$this->shown  = $table['name'];
		$this->table  = $manifest->staged($table['n']);
		$this->db     = new Connection(false, true);
		$this->limit  = max(65536, min(4 * 1048576, (int) $this->db->rows('SELECT @@max_allowed_packet AS p')[0]['p'] - 65536));
		try {
			$actual = Schema::describe($this->db, $this->table);
		} catch (Fault $fault) {
			throw new Fault('stage_lost', 'The staged copy of ' . $this->shown . ' is gone.');
		}
		foreach ((array) $params['columns'] as $column) {
			$name = (string) (is_array($column) ? $column['name'] : $column);
			if (!isset($actual[$name])) {
				throw new Fault('row_refused', $this->shown . ' has no column ' . $name . ' here.', 400, array('table' => $this->shown, 'column' => $name));
			}
			$this->columns[] = $name;
			$this->classes[] = Schema::type_class($actual[$name]['type']);
			$this->enums[]   = $actual[$name]['type'] === 'enum';
		}
		$this->key = new RowKey($this->table, isset($params['key']) ? (array) $params['key'] : array(), $actual);
		foreach ($this->key->parts as $i => $part) {
			$this->key->parts[$i]['index'] = (int) array_search($part['name'], $this->columns, true);
		}
	}

	/** @return array{upserted: int, deleted: int} */
	public function run(): array {
		if (!empty($this->params['first'])) {
			$this->db->run('TRUNCATE TABLE ' . Connection::name($this->table));
		}
		$this->db->run('START TRANSACTION');
		$this->delete(array_map(array(Text::class, 'cells'), iterator_to_array(Text::lines($this->block('deletes_b64')), false)));
		$batch = array();
		$bytes = 0;
		foreach (Text::lines($this->block('upserts_b64')) as $line) {
			if ($batch && (count($batch) >= self::MAX_ROWS || 2 * ($bytes + strlen($line)) > $this->limit - 65536)) {
				$this->write($batch);
				$batch = array();
				$bytes = 0;
			}
			$batch[] = $line;
			$bytes  += strlen($line) + 16 * count($this->columns);
		}
		if ($batch) {
			$this->write($batch);
		}
		foreach (isset($this->params['appends']) ? (array) $this->params['appends'] : array() as $append) {
			$this->append((array) $append);
		}
		$this->db->run('COMMIT');
		return $this->result;
	}

	private function block(string $name): string {
		$text = isset($this->params[$name]) ? base64_decode((string) $this->params[$name], true) : '';
		if (!is_string($text)) {
			throw new Fault('bad_params', 'The rows can not be read.');
		}
		return $text;
	}

	/** @param array<int, array<int, string|null>> $keys */
	private function delete(array $keys): void {
		foreach (array_chunk($keys, self::MAX_ROWS) as $some) {
			$this->result['deleted'] += $this->db->run('DELETE FROM ' . Connection::name($this->table) . ' WHERE ' . $this->key->among($some));
		}
	}

	/** @param string[] $lines */
	private function write(array $lines): void {
		$rows = array_map(array($this, 'cells'), $lines);
		if ($this->key->parts) {
			$keys = array_map(array($this->key, 'values'), $rows);
			$this->db->run('DELETE FROM ' . Connection::name($this->table) . ' WHERE ' . $this->key->among($keys));
		}
		if (!$this->db->tried($this->insert($rows))) {
			$this->refuse($rows);
		}
		$this->result['upserted'] += count($rows);
	}

	/** @return array<int, string|null> */
	private function cells(string $line): array {
		$cells = Text::cells($line);
		if (count($cells) !== count($this->columns)) {
			throw new Fault('bad_params', 'A row of ' . $this->shown . ' has the wrong number of cells.');
		}
		return $cells;
	}

	/** @param array<int, array<int, string|null>> $rows */
	private function insert(array $rows): string {
		$values = array();
		foreach ($rows as $row) {
			$values[] = '(' . implode(',', array_map(array(Columns::class, 'literal'), $row, $this->classes)) . ')';
		}
		return 'INSERT INTO ' . Connection::name($this->table) . ' (' . implode(',', array_map(array(Connection::class, 'name'), $this->columns))
			. ') VALUES ' . implode(',', $values);
	}

	/**
	 * Names the row the server refuses. What is not about a row (a lost connection, no room) is said as it is.
	 *
	 * @param array<int, array<int, string|null>> $rows
	 */
	private function refuse(array $rows): void {
		$first = $this->db->fault();
		if ($first->fault !== 'database_error') {
			throw $first;
		}
		foreach ($rows as $row) {
			if (!$this->db->tried($this->insert(array($row))) && !$this->lax($row)) {
				$error = $this->db->error();
				$key   = $this->key->parts ? implode(', ', $this->key->values($row)) : '';
				$this->db->tried('ROLLBACK');
				throw new Fault(
					'row_refused',
					'The database refuses a row of ' . $this->shown . ($key === '' ? '' : ' (' . substr($key, 0, 100) . ')') . ': ' . $error,
					400,
					array('table' => $this->shown, 'key' => substr($key, 0, 100))
				);
			}
		}
	}

	/**
	 * A row that is refused for the error value of an ENUM alone, which lax servers store, is written by a lax server.
	 *
	 * @param array<int, string|null> $row
	 */
	private function lax(array $row): bool {
		$probe = $row;
		foreach ($this->enums as $i => $enum) {
			$probe[$i] = $enum && $row[$i] === '' ? false : $row[$i];
		}
		if ($probe === $row || !$this->key->parts) {
			return false;
		}
		$values = array();
		foreach ($probe as $i => $cell) {
			$values[] = $cell === false ? '1' : Columns::literal($cell, $this->classes[$i]);
		}
		$all = $this->insert(array($row));
		$one = substr($all, 0, (int) strpos($all, ' VALUES ')) . ' VALUES (' . implode(',', $values) . ')';
		if (!$this->db->tried($one)) { // something else is wrong too
			return false;
		}
		$this->db->run('DELETE FROM ' . Connection::name($this->table) . ' WHERE ' . $this->key->among(array($this->key->values($row))));
		$mode = (string) $this->db->rows('SELECT @@sql_mode AS m')[0]['m'];
		$this->db->run("SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'");
		$done = $this->db->tried($all);
		$this->db->run("SET SESSION sql_mode = '" . $mode . "'");
		return $done;
	}

	/** @param array<string, mixed> $append key_b64, column, offset, data_b64 */
	private function append(array $append): void {
		$column = (string) $append['column'];
		if (!in_array($column, $this->columns, true)) {
			throw new Fault('bad_params', 'A piece belongs to no column of ' . $this->shown . '.');
		}
		$key    = Text::key($append['key_b64'] ?? null);
		$where  = ' WHERE ' . $this->key->among(array($key));
		$name   = Connection::name($column);
		$data   = (string) base64_decode((string) $append['data_b64'], true);
		$offset = (int) $append['offset'];
		$size   = $this->db->rows('SELECT LENGTH(' . $name . ') AS n FROM ' . Connection::name($this->table) . $where);
		if (!$size || (int) $size[0]['n'] < $offset) {
			throw new Fault('stage_lost', 'The row of ' . $this->shown . ' that a piece belongs to is not there.');
		}
		if ((int) $size[0]['n'] > $offset) {
			return; // repeated
		}
		$sql = 'UPDATE ' . Connection::name($this->table) . ' SET ' . $name . ' = CONCAT(' . $name . ", X'" . bin2hex($data) . "')" . $where;
		if (!$this->db->tried($sql)) {
			$fault = $this->db->fault();
			$shown = substr(implode(', ', array_map('strval', $key)), 0, 100);
			throw $fault->fault !== 'database_error' ? $fault : new Fault(
				'row_refused',
				'The database refuses a large value of ' . $this->shown . ' (' . $shown . '): ' . $this->db->error(),
				400,
				array('table' => $this->shown, 'key' => $shown)
			);
		}
	}
}
