<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * `db.count` and `db.stream`: rows as LOAD DATA text, byte for byte.
 *
 * The cursor is `{table, key, offset, table_done}`: `key` holds the base64 key values of the last row that was sent,
 * `offset` the number of rows sent when the table has no key. Rows are paged along the key, so that a page costs the same
 * anywhere in the table; everything one answer holds is read in one snapshot.
 */
final class Rows {

	const BLOCK = 1048576;

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

	/** @var int bytes of a big cell fetched at once: the server reads the whole cell for every piece */
	private $piece;

	/** @var Connection */
	private $db;

	/** @var Connection|null for cells that are fetched in pieces while a page is open */
	private $second = null;

	/** @var array{rows: int, row_bytes: int, tables: int} */
	private $stats = array('rows' => 0, 'row_bytes' => 0, 'tables' => 0);

	/** @param array<string, mixed> $params */
	public function __construct(array $params, Budget $budget, Reply $reply) {
		$this->budget   = $budget;
		$this->reply    = $reply;
		$this->cursor   = isset($params['cursor']) ? (array) $params['cursor'] : null;
		$this->big_cell = min(4 * 1048576, max(65536, isset($params['big_cell']) ? (int) $params['big_cell'] : 1048576));
		$limit          = Site::ini_bytes('memory_limit');
		$room           = $limit > 0 ? $limit - memory_get_usage(true) : 64 * 1048576;
		$this->piece    = (int) max(262144, min(4 * 1048576, $room / 12));
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
		$this->reply->end($this->stats + array('cursor' => $cursor, 'done' => $cursor === null));
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
			$rows = $this->page($query);
			if ($rows === null) {
				return $query->position();
			}
			$more = $rows === $query->limit;
			if (!$more) {
				++$this->stats['tables'];
				$this->reply->json('K', array('table_done' => true) + $query->position());
			}
			if ($this->budget->spent($this->reply->bytes)) {
				return array('table_done' => !$more) + $query->position();
			}
		} while ($more);
		return null;
	}

	/** One page of rows. @return int|null number of rows read; null when the budget ended inside the page */
	private function page(Query $query): ?int {
		$result  = $this->db->unbuffered($query->sql());
		$escape  = $query->escape;
		$width   = count($escape);
		$flag    = $query->flag;
		$special = array('\\', "\t", "\n", "\r", "\0", "\x1a");
		$written = array('\\\\', '\\t', '\\n', '\\r', '\\0', '\\Z');
		$block   = '';
		$count   = 0;
		while ($row = $result->fetch_row()) {
			++$count;
			if ($flag !== null && $row[$flag] === '1') {
				$this->save($query, $block);
				$this->in_pieces($query, $row);
			} else {
				for ($i = 0; $i < $width; ++$i) {
					$cell = $row[$i];
					if ($cell === null) {
						$cell = '\\N';
					} elseif ($escape[$i] && $cell !== '') {
						$cell = str_replace($special, $written, $cell);
					}
					$block .= $i ? "\t" . $cell : $cell;
				}
				$block .= "\n";
			}
			$query->last = $row;
			++$query->seen;
			if (isset($block[self::BLOCK]) || ($count & 31) === 0 || $block === '') {
				$spent = $this->budget->spent($this->reply->bytes + strlen($block));
				if ($spent || $block === '' || isset($block[self::BLOCK])) {
					$this->save($query, $block);
				}
				if ($spent) {
					$this->db->drop($result);
					return null;
				}
			}
		}
		$this->db->check();
		$result->free();
		$this->save($query, $block);
		return $count;
	}

	/** What has been read becomes a frame of whole rows, followed by the place they reach to. */
	private function save(Query $query, string &$block): void {
		if ($block !== '') {
			$this->stats['row_bytes'] += strlen($block);
			$this->reply->frame('R', $block);
			$block = '';
		}
		if ($query->saved !== $query->seen) {
			$this->stats['rows'] += $query->seen - $query->saved;
			$query->saved = $query->seen;
			$this->reply->json('K', $query->position());
		}
	}

	/**
	 * A row with cells too big to hold: every cell of it is fetched on its own, the big ones in pieces.
	 *
	 * @param array<int, string|null> $row
	 */
	private function in_pieces(Query $query, array $row): void {
		if ($this->second === null) {
			$this->second = new Connection(true);
		}
		$last = count($query->columns) - 1;
		foreach ($query->columns as $i => $column) {
			$size = 0;
			if ($query->big[$i]) {
				$found = $this->second->rows($query->cell_sql($row, $i, null), false);
				if (!$found) {
					throw new Fault('row_changed', 'A large row of ' . $query->name . ' was deleted while it was read.');
				}
				$size = (int) $found[0][0];
			}
			if ($size <= $query->threshold) {
				$value = $row[$i];
				$this->piece($value === null ? '\\N' : $this->escaped($value), $i === $last ? "\n" : "\t", $i === $last);
				continue;
			}
			for ($at = 1; $at <= $size; $at += $this->piece) {
				$piece = $this->second->rows($query->cell_sql($row, $i, array($at, $this->piece)), false);
				$ends  = $at + $this->piece > $size;
				if (!$piece || strlen((string) $piece[0][0]) !== min($this->piece, $size - $at + 1)) {
					throw new Fault('row_changed', 'A large row of ' . $query->name . ' changed while it was read.');
				}
				$this->piece($this->escaped((string) $piece[0][0]), $ends ? ($i === $last ? "\n" : "\t") : '', $ends && $i === $last);
			}
		}
	}

	private function piece(string $text, string $end, bool $complete): void {
		$text .= $end;
		$this->stats['row_bytes'] += strlen($text);
		$this->reply->frame('R', $text, $complete ? 0 : Reply::CONTINUES);
	}

	private function escaped(string $value): string {
		return str_replace(
			array('\\', "\t", "\n", "\r", "\0", "\x1a"),
			array('\\\\', '\\t', '\\n', '\\r', '\\0', '\\Z'),
			$value
		);
	}
}
