<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * `db.count` and `db.stream`: rows as LOAD DATA text, byte for byte; with `digest`, each row's key and the MD5 of that text.
 *
 * The cursor is `{table, key, offset, table_done}`: `key` holds the base64 key values of the last row that was sent,
 * `offset` the number of rows sent when the table has no key. Rows are paged along the key, so that a page costs the same
 * anywhere in the table; everything one answer holds is read in one snapshot.
 */
final class Rows {

	/** @var array<int, array<string, mixed>> */
	private $tables = array();

	/** @var Budget */
	private $budget;

	/** @var Reply */
	private $reply;

	/** @var array<string, mixed>|null */
	private $cursor;

	/** @var int */
	private $big_cell;

	/** @var Connection */
	private $db;

	/** @var Lines */
	private $lines;

	/** @var int tables read to their end */
	private $done = 0;

	/** @param array<string, mixed> $params */
	public function __construct(array $params, Budget $budget, Reply $reply) {
		$this->budget   = $budget;
		$this->reply    = $reply;
		$this->cursor   = isset($params['cursor']) ? (array) $params['cursor'] : null;
		$this->big_cell = min(4 * 1048576, max(65536, isset($params['big_cell']) ? (int) $params['big_cell'] : 1048576));
		$this->lines    = new Lines($budget, $reply, !empty($params['digest']));
		foreach (isset($params['tables']) ? (array) $params['tables'] : array() as $table) {
			if (!is_array($table) || !isset($table['name'])) {
				throw new Fault('bad_params', 'Every table needs a name.');
			}
			$this->tables[] = $table;
		}
	}

	/** @return array{counts: array<string, int>, cursor: array<string, string>|null, done: bool} */
	public function count(): array {
		$db     = new Connection(false);
		$counts = array();
		foreach ($this->remaining() as $table) {
			if ($counts && $this->budget->spent()) {
				return array('counts' => $counts, 'cursor' => array('table' => (string) $table['name']), 'done' => false);
			}
			$sql = 'SELECT COUNT(*) AS n FROM ' . Connection::name((string) $table['name']) . (Query::exclusions($table) === '' ? '' : ' WHERE ' . Query::exclusions($table));
			$counts[(string) $table['name']] = (int) $db->rows($sql)[0]['n'];
		}
		return array('counts' => $counts, 'cursor' => null, 'done' => true);
	}

	public function stream(): void {
		global $wpdb;
		$wpdb->close(); // one connection less: hosts limit them per user
		$this->db = new Connection(true);
		$cursor   = null;
		$from     = $this->cursor;
		foreach ($this->remaining() as $table) {
			$cursor = $this->table($table, $from);
			$from   = null;
			if ($cursor !== null) {
				break;
			}
		}
		$this->reply->end($this->lines->stats + array('tables' => $this->done, 'cursor' => $cursor, 'done' => $cursor === null));
	}

	/** @return array<int, array<string, mixed>> the tables still to do; a finished one is left out */
	private function remaining(): array {
		if ($this->cursor === null || !isset($this->cursor['table'])) {
			return $this->tables;
		}
		foreach ($this->tables as $i => $table) {
			if ($table['name'] === $this->cursor['table']) {
				$done         = !empty($this->cursor['table_done']);
				$this->cursor = $done ? null : $this->cursor;
				return array_slice($this->tables, $done ? $i + 1 : $i);
			}
		}
		throw new Fault('bad_cursor', 'The cursor names a table that is not part of this request.');
	}

	/**
	 * @param array<string, mixed> $table
	 * @param array<string, mixed>|null $from
	 * @return array<string, mixed>|null a cursor when the budget is spent
	 */
	private function table(array $table, ?array $from): ?array {
		$name = (string) $table['name'];
		try {
			$query = new Query($this->db, $table, $this->big_cell);
		} catch (Fault $fault) {
			if ($fault->fault !== 'table_gone') {
				throw $fault;
			}
			$this->reply->json('W', array('table' => $name, 'reason' => 'table_gone'));
			return null;
		}
		if ($from !== null && empty($from['table_done'])) {
			$query->seek($from);
			$resumed = isset($from['key']) || !empty($from['offset']);
		} else {
			$resumed = false;
		}
		$this->reply->json('T', array('table' => $name, 'columns' => $query->columns, 'resumed' => $resumed));
		do {
			$rows = $this->lines->page($this->db, $query);
			if ($rows === null) {
				return $query->position();
			}
			$more = $rows === $query->limit;
			if (!$more) {
				++$this->done;
				$this->reply->json('K', array('table_done' => true) + $query->position());
			}
			if ($this->budget->spent($this->reply->bytes)) {
				return array('table_done' => !$more) + $query->position();
			}
		} while ($more);
		return null;
	}
}
