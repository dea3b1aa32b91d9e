<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * Rows on their way out: as lines of LOAD DATA text, or as digests `<key as text>\t<MD5 of the line>` of the same lines.
 *
 * A cell too big to hold is fetched in pieces; the MD5 is the same either way.
 */
final class Lines {

	const BLOCK   = 1048576;
	const SPECIAL = array('\\', "\t", "\n", "\r", "\0", "\x1a");
	const WRITTEN = array('\\\\', '\\t', '\\n', '\\r', '\\0', '\\Z');

	/** @var array{rows: int, row_bytes: int} */
	public $stats = array('rows' => 0, 'row_bytes' => 0);

	/** @var Budget */
	private $budget;

	/** @var Reply */
	private $reply;

	/** @var bool */
	private $digest;

	/** @var int bytes of a big cell fetched at once: the server reads the whole cell for every piece */
	private $piece;

	/** @var Connection|null for cells that are fetched in pieces while a page is open */
	private $second = null;

	/** @var \HashContext|null of a large row that is digested */
	private $hash = null;

	public function __construct(Budget $budget, Reply $reply, bool $digest) {
		$this->budget = $budget;
		$this->reply  = $reply;
		$this->digest = $digest;
		$limit        = Site::ini_bytes('memory_limit');
		$room         = $limit > 0 ? $limit - memory_get_usage(true) : 64 * 1048576;
		$this->piece  = (int) max(262144, min(4 * 1048576, $room / 12));
	}

	/**
	 * One page of rows.
	 *
	 * @param bool $whole the page is sent to its end, whatever the budget says, and says no places in between
	 * @return int|null number of rows read; null when the budget ended inside the page
	 */
	public function page(Connection $db, Query $query, bool $whole = false): ?int {
		$result = $db->unbuffered($query->sql());
		$escape = $query->escape;
		$width  = count($escape);
		$flag   = $query->flag;
		$block  = '';
		$count  = 0;
		while ($row = $result->fetch_row()) {
			++$count;
			if ($flag !== null && $row[$flag] === '1') {
				$this->save($query, $block, $whole);
				$this->in_pieces($query, $row);
			} else {
				$line = '';
				for ($i = 0; $i < $width; ++$i) {
					$cell = $row[$i];
					if ($cell === null) {
						$cell = '\\N';
					} elseif ($escape[$i] && $cell !== '') {
						$cell = str_replace(self::SPECIAL, self::WRITTEN, $cell);
					}
					$line .= $i ? "\t" . $cell : $cell;
				}
				$block .= ($this->digest ? $query->key->line($row) . md5($line) : $line) . "\n";
			}
			$query->last = $row;
			++$query->seen;
			if (isset($block[self::BLOCK]) || ($count & 31) === 0 || $block === '') {
				$spent = !$whole && $this->budget->spent($this->reply->bytes + strlen($block));
				if ($spent || $block === '' || isset($block[self::BLOCK])) {
					$this->save($query, $block, $whole);
				}
				if ($spent) {
					$db->drop($result);
					return null;
				}
			}
		}
		$db->check();
		$result->free();
		$this->save($query, $block, $whole);
		return $count;
	}

	public static function escaped(string $value): string {
		return str_replace(self::SPECIAL, self::WRITTEN, $value);
	}

	/** What has been read becomes a frame of whole rows, followed by the place they reach to. */
	private function save(Query $query, string &$block, bool $silent): void {
		if ($block !== '') {
			$this->stats['row_bytes'] += strlen($block);
			$this->reply->frame('R', $block);
			$block = '';
		}
		if ($query->saved !== $query->seen) {
			$this->stats['rows'] += $query->seen - $query->saved;
			$query->saved = $query->seen;
			if (!$silent) {
				$this->reply->json('K', $query->position());
			}
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
		$this->hash = $this->digest ? hash_init('md5') : null;
		$last       = count($query->columns) - 1;
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
				$this->piece($value === null ? '\\N' : self::escaped($value), $i === $last ? "\n" : "\t", $i === $last);
				continue;
			}
			for ($at = 1; $at <= $size; $at += $this->piece) {
				$piece = $this->second->rows($query->cell_sql($row, $i, array($at, $this->piece)), false);
				$ends  = $at + $this->piece > $size;
				if (!$piece || strlen((string) $piece[0][0]) !== min($this->piece, $size - $at + 1)) {
					throw new Fault('row_changed', 'A large row of ' . $query->name . ' changed while it was read.');
				}
				$this->piece(self::escaped((string) $piece[0][0]), $ends ? ($i === $last ? "\n" : "\t") : '', $ends && $i === $last);
			}
		}
		if ($this->hash !== null) {
			$line = $query->key->line($row) . hash_final($this->hash) . "\n";
			$this->stats['row_bytes'] += strlen($line);
			$this->reply->frame('R', $line);
			$this->hash = null;
		}
	}

	private function piece(string $text, string $end, bool $complete): void {
		if ($this->hash !== null) {
			hash_update($this->hash, $complete ? $text : $text . $end);
			return;
		}
		$text .= $end;
		$this->stats['row_bytes'] += strlen($text);
		$this->reply->frame('R', $text, $complete ? 0 : Reply::CONTINUES);
	}
}
