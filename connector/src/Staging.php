<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** `stage.begin`, `stage.copy`, `stage.reserve`, `stage.sql`, `stage.drop`: tables beside the live ones. Visitors notice nothing. */
final class Staging {

	/** Rows copied by one statement. */
	const PAGE = 5000;

	/** How far below the highest id rows may still be uncommitted when they are copied. */
	const GAP = 1000;

	/** @var array<string, mixed> */
	private $params;

	/** @var Budget */
	private $budget;

	/** @param array<string, mixed> $params */
	public function __construct(array $params, Budget $budget) {
		$this->params = $params;
		$this->budget = $budget;
	}

	/** @return array<string, mixed> */
	public function begin(): array {
		$manifest = Manifest::make($this->params);
		$manifest->must_lock();
		foreach (isset($this->params['tables']) && $manifest->state() === 'staged' ? (array) $this->params['tables'] : array() as $table) {
			$n    = (int) $table['n'];
			$same = isset($manifest->data['tables'][$n]) && $manifest->data['tables'][$n]['name'] === $table['name'];
			$manifest->data['tables'][$n] = array(
				'n'      => $n,
				'name'   => (string) $table['name'],
				'from'   => isset($table['from']) && $table['from'] === 'create' ? 'create' : 'live',
				'create' => isset($table['create']) ? (string) $table['create'] : null,
				'key'    => isset($table['key']) ? array_map('strval', (array) $table['key']) : array(),
			) + ($same ? $manifest->data['tables'][$n] : array());
		}
		$manifest->save();
		$manifest->unlock();
		$free   = function_exists('disk_free_space') ? @disk_free_space($manifest->dir) : false;
		$device = (array) @stat($manifest->dir);
		$same   = array();
		foreach ($manifest->bases() as $base => $dir) {
			$stat        = @stat($dir);
			$same[$base] = $stat === false || $stat['dev'] === $device['dev'];
		}
		$staged = array();
		foreach (array_keys($manifest->data['tables']) as $n) {
			$staged[] = array((int) $n, $manifest->staged((int) $n));
		}
		$packet = (new Connection(false))->rows('SELECT @@max_allowed_packet AS p')[0]['p'];
		return array(
			'state'              => $manifest->state(),
			'dir_token'          => substr(basename(dirname($manifest->dir)), strlen('siteferry-')),
			'free_bytes'         => is_float($free) ? (int) $free : null,
			'same_filesystem'    => $same,
			'staged'             => $staged,
			'max_allowed_packet' => (int) $packet,
			'post_max_size'      => Site::ini_bytes('post_max_size'),
		);
	}

	/** @return array<string, mixed> */
	public function copy(): array {
		$manifest = Manifest::of($this->params);
		self::open($manifest);
		$table  = $manifest->table($this->params['n'] ?? null);
		$staged = $manifest->staged($table['n']);
		$db     = new Connection(false, true);
		if (empty($this->params['cursor'])) {
			$this->create($db, $table, $staged);
		}
		$done = $table['from'] === 'create' || $this->fill($db, $table, $staged);
		if ($done) {
			$manifest->must_lock();
			$manifest->data['tables'][$table['n']] = array_merge($manifest->data['tables'][$table['n']], self::floor($db, $staged));
			$manifest->save();
			$manifest->unlock();
		}
		$rows = $done ? (int) $db->rows('SELECT COUNT(*) AS n FROM ' . Connection::name($staged))[0]['n'] : null;
		return array('cursor' => $done ? null : array('n' => $table['n']), 'done' => $done, 'rows' => $rows);
	}

	/** @return array<string, mixed> */
	public function reserve(): array {
		$db   = new Connection(false, true);
		$done = array();
		$db->run('SET SESSION lock_wait_timeout = 5');
		foreach (isset($this->params['above']) ? (array) $this->params['above'] : array() as $table => $id) {
			$column = Columns::auto_increment($db, (string) $table);
			$next   = Columns::next_id($db, (string) $table);
			if ($column !== null && $next !== null && $next <= (int) $id) {
				$db->run('ALTER TABLE ' . Connection::name((string) $table) . ' AUTO_INCREMENT = ' . ((int) $id + 1));
				$done[] = (string) $table;
			}
		}
		return array('reserved' => $done);
	}

	/** @return array<string, mixed> */
	public function sql(): array {
		$manifest = Manifest::of($this->params);
		self::open($manifest);
		if (!isset($this->params['kind']) || $this->params['kind'] !== 'options_keep') {
			throw new Fault('bad_params', 'There is no such kind of change.');
		}
		return array('kept' => (new Options($manifest, $this->params))->refresh(new Connection(false, true)));
	}

	/** @return array<string, mixed> */
	public function drop(): array {
		$manifest = Manifest::find(isset($this->params['restore']) ? (string) $this->params['restore'] : '');
		if ($manifest === null) {
			return array('dropped' => true);
		}
		Journal::settle($manifest);
		$manifest->must_lock();
		$db  = new Connection(false, true);
		$all = !empty($this->params['snapshot']) || $manifest->state() !== 'swapped';
		foreach (array_keys($manifest->data['tables']) as $n) {
			$db->run('DROP TABLE IF EXISTS ' . Connection::name($manifest->staged((int) $n)));
			if ($all) {
				$db->run('DROP TABLE IF EXISTS ' . Connection::name($manifest->old((int) $n)));
			}
		}
		Disk::remove($manifest->dir . '/new');
		Disk::remove($manifest->dir . '/part');
		if ($all) {
			$manifest->unlock();
			$manifest->destroy();
		}
		return array('dropped' => true);
	}

	/** Nothing may be staged any more once the swap has begun. */
	public static function open(Manifest $manifest): void {
		if ($manifest->state() !== 'staged') {
			throw new Fault('bad_params', 'This restore is past its staging: ' . $manifest->state() . '.');
		}
	}

	/** @param array<string, mixed> $table */
	private function create(Connection $db, array $table, string $staged): void {
		$db->run('DROP TABLE IF EXISTS ' . Connection::name($staged));
		if ($table['from'] === 'live') {
			$db->run('CREATE TABLE ' . Connection::name($staged) . ' LIKE ' . Connection::name($table['name']));
			return;
		}
		if (preg_match('/^\s*(CONSTRAINT\b.*)?\bFOREIGN KEY\b/mi', (string) $table['create'])) {
			throw new Fault('table_not_exchangeable', 'The table ' . $table['name'] . ' has foreign keys.', 400, array('table' => $table['name']));
		}
		$name = '/^\s*CREATE\s+TABLE\s+(IF\s+NOT\s+EXISTS\s+)?(`(?:[^`]|``)+`|[^\s(]+)/i';
		$sql  = preg_replace_callback($name, static function () use ($staged) {
			return 'CREATE TABLE ' . Connection::name($staged);
		}, (string) $table['create'], 1, $count);
		if ($count !== 1 || !$db->tried((string) $sql)) {
			throw new Fault('target_error', 'The database does not make the table ' . $table['name'] . ': ' . $db->error(), 400, array('table' => $table['name']));
		}
	}

	/** @param array<string, mixed> $table @return bool whether all rows are copied */
	private function fill(Connection $db, array $table, string $staged): bool {
		$columns = implode(', ', array_map(array(Connection::class, 'name'), Columns::stored($db, $staged)));
		$insert  = 'INSERT INTO ' . Connection::name($staged) . ' (' . $columns . ') SELECT ' . $columns . ' FROM ' . Connection::name($table['name']);
		$key     = new RowKey($table['name'], $table['key'], Schema::describe($db, $table['name']));
		// Without this, reading the live table would lock its rows against the site's visitors.
		$db->tried('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
		if (!$key->parts) {
			$db->run('DELETE FROM ' . Connection::name($staged));
			$db->run($insert);
			return true;
		}
		$names = $key->names();
		$order = ' ORDER BY ' . implode(', ', $names) . ' LIMIT ' . self::PAGE;
		$hint  = $key->index_hint($db);
		$last  = 'SELECT ' . implode(', ', $names) . ' FROM ' . Connection::name($staged) . ' ORDER BY ' . implode(' DESC, ', $names) . ' DESC LIMIT 1';
		do {
			$reached = $db->rows($last, false);
			$where   = $reached ? ' WHERE ' . $key->beyond(array_map('strval', $reached[0])) : '';
			$copied  = $db->run($insert . $hint . $where . $order);
			if ($copied === 0) {
				return true;
			}
		} while (!$this->budget->spent());
		return false;
	}

	/** Where the copy ends: rows above (and in the gaps just below) that appear in the live table later are late rows. @return array<string, mixed> */
	private static function floor(Connection $db, string $staged): array {
		$column = Columns::auto_increment($db, $staged);
		if ($column === null) {
			return array('copied' => true, 'id' => null, 'floor' => null, 'gaps' => array());
		}
		$name = Connection::name($column);
		$max  = (int) $db->rows('SELECT COALESCE(MAX(' . $name . '), 0) AS m FROM ' . Connection::name($staged))[0]['m'];
		$from = max(1, $max - self::GAP);
		$ids  = array_column($db->rows('SELECT ' . $name . ' AS i FROM ' . Connection::name($staged) . ' WHERE ' . $name . ' >= ' . $from), 'i');
		$gaps = $max > 0 ? array_values(array_diff(range($from, $max), array_map('intval', $ids))) : array();
		return array('copied' => true, 'id' => $column, 'floor' => $max, 'gaps' => $gaps);
	}
}
