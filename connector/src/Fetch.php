<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** `db.fetch` and `files.fetch`: single rows and single files, asked for by name. */
final class Fetch {

	/** Rows asked of the server at once; such a batch is always sent to its end. */
	const BATCH = 200;

	const MAX_KEYS = 5000;

	/** @var array<string, mixed> */
	private $params;

	/** @var array<string, mixed> */
	private $cursor;

	/** @var Budget */
	private $budget;

	/** @var Reply */
	private $reply;

	/** @param array<string, mixed> $params */
	public function __construct(array $params, Budget $budget, Reply $reply) {
		$this->params = $params;
		$this->cursor = isset($params['cursor']) ? (array) $params['cursor'] : array();
		$this->budget = $budget;
		$this->reply  = $reply;
	}

	/** The cursor is `{table, at}`: so many keys of this table (its index) are done. K frames say it after every batch. */
	public function rows(): void {
		$tables = isset($this->params['tables']) ? array_values((array) $this->params['tables']) : array();
		$first  = isset($this->cursor['table']) ? (int) $this->cursor['table'] : 0;
		$at     = isset($this->cursor['at']) ? (int) $this->cursor['at'] : 0;
		$lines  = new Lines($this->budget, $this->reply, false);
		$db     = new Connection(true);
		$cursor = null;
		for ($i = $first; $i < count($tables) && $cursor === null; ++$i) {
			$cursor = $this->table($db, $lines, $i, (array) $tables[$i], $at);
			$at     = 0;
		}
		$this->reply->end($lines->stats + array('cursor' => $cursor, 'done' => $cursor === null));
	}

	/**
	 * @param array<string, mixed> $table
	 * @return array<string, int>|null a cursor when the budget ended before the last key
	 */
	private function table(Connection $db, Lines $lines, int $index, array $table, int $at): ?array {
		$keys = isset($table['keys_b64']) ? array_values((array) $table['keys_b64']) : array();
		if (!isset($table['name']) || count($keys) > self::MAX_KEYS) {
			throw new Fault('bad_params', 'Every table needs a name and at most ' . self::MAX_KEYS . ' keys.');
		}
		try {
			$query = new Query($db, $table, 1048576);
		} catch (Fault $fault) {
			if ($fault->fault !== 'table_gone') {
				throw $fault;
			}
			$this->reply->json('W', array('table' => (string) $table['name'], 'reason' => 'table_gone'));
			return null;
		}
		$this->reply->json('T', array('table' => $query->name, 'columns' => $query->columns, 'resumed' => $at > 0));
		while ($at < count($keys)) {
			$query->only(array_map(array(Text::class, 'key'), array_slice($keys, $at, self::BATCH)));
			$lines->page($db, $query, true);
			$at    = min(count($keys), $at + self::BATCH);
			$place = array('table' => $index, 'at' => $at);
			$this->reply->json('K', $place);
			if ($at < count($keys) && $this->budget->spent($this->reply->bytes)) {
				return $place;
			}
		}
		return null;
	}

	/** The cursor is `{at, offset, size, mtime}`: so many files are done; of the next one `offset` bytes, if it is still the same. */
	public function files(): void {
		$bases  = Paths::bases();
		$files  = isset($this->params['files']) ? array_values((array) $this->params['files']) : array();
		$sender = new Sender($this->budget, $this->reply);
		$cursor = null;
		for ($at = isset($this->cursor['at']) ? (int) $this->cursor['at'] : 0; $at < count($files); ++$at) {
			list($base, $path, $full) = Paths::named($files[$at], $bases);
			$entry = array('root' => $base, 'path' => $path, 'full' => $full);
			if (Paths::reserved($full) || !is_file($full)) {
				$sender->problem($entry, file_exists($full) ? 'not_a_file' : 'vanished');
				continue;
			}
			$rest = $sender->file($entry, $this->offset($full));
			if ($rest !== null) {
				$cursor = array('at' => $at) + $rest;
				break;
			}
			if ($at + 1 < count($files) && $this->budget->spent($this->reply->bytes)) {
				$cursor = array('at' => $at + 1);
				break;
			}
		}
		$this->reply->end($sender->stats + array('cursor' => $cursor, 'done' => $cursor === null));
	}

	/** Where to go on in the file the last answer ended in. */
	private function offset(string $full): int {
		$cursor       = $this->cursor;
		$this->cursor = array();
		if (empty($cursor['offset'])) {
			return 0;
		}
		$stat = @stat($full);
		$same = $stat !== false && $stat['size'] === $cursor['size'] && $stat['mtime'] === $cursor['mtime'];
		return $same ? (int) $cursor['offset'] : 0;
	}
}
