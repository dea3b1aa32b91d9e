<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** The tables of a swap: which names they have now, and the one statement that gives them their other names. */
final class Exchange {

	/** Seconds a table may keep the others waiting; visitors wait behind us. */
	const PATIENCE = 1;

	const TRIES = 8;

	/** @var Manifest */
	private $manifest;

	/** @var Connection */
	private $db;

	public function __construct(Manifest $manifest, Connection $db) {
		$this->manifest = $manifest;
		$this->db       = $db;
		$db->run('SET SESSION lock_wait_timeout = ' . self::PATIENCE);
	}

	/**
	 * Holds the exchange of this restore for this connection, until it ends. A connection whose PHP has died may still wait
	 * to rename: it is ended first, so that what we see is what stays.
	 */
	public function take(int $wait): bool {
		$name   = $this->db->quote('siteferry_' . Names::tag($this->manifest->restore));
		$holder = $this->db->rows('SELECT IS_USED_LOCK(' . $name . ') AS h, CONNECTION_ID() AS me')[0];
		if ($holder['h'] !== null && $holder['h'] !== $holder['me']) {
			$this->db->kill((int) $holder['h']);
		}
		return (string) $this->db->rows('SELECT GET_LOCK(' . $name . ', ' . $wait . ') AS l')[0]['l'] === '1';
	}

	/** @return array<int, array{0: string, 1: string}> the renamings that are still to do towards the new (or the old) site */
	public function steps(bool $forward): array {
		$there = $this->existing();
		$steps = array();
		foreach ($this->manifest->data['swap']['tables'] as $table) {
			$live   = (string) $table['live'];
			$staged = $this->manifest->staged($table['n']);
			$old    = $this->manifest->old($table['n']);
			if ($forward) {
				if ($table['action'] !== 'create' && isset($there[$live]) && !isset($there[$old])) {
					$steps[] = array($live, $old);
				}
				if ($table['action'] !== 'drop' && isset($there[$staged])) {
					$steps[] = array($staged, $live);
				}
			} elseif ($table['action'] === 'create' || isset($there[$old])) {
				if (isset($there[$live]) && !isset($there[$staged])) {
					$steps[] = array($live, $staged);
				}
				if (isset($there[$old])) {
					$steps[] = array($old, $live);
				}
			}
		}
		return $steps;
	}

	/** How many renamings the whole swap has. */
	public function length(): int {
		$length = 0;
		foreach ($this->manifest->data['swap']['tables'] as $table) {
			$length += $table['action'] === 'exchange' ? 2 : 1;
		}
		return $length;
	}

	/**
	 * Gives the names, all at once. Either all have their new name afterwards or none.
	 *
	 * @param array<int, array{0: string, 1: string}> $steps
	 * @return float milliseconds, waiting for visitors' queries included
	 * @throws Fault target_busy when a table could not be had; database_lost when nobody knows what happened
	 */
	public function rename(array $steps): float {
		if (!$steps) {
			return 0.0;
		}
		$parts = array();
		foreach ($steps as $step) {
			$parts[] = Connection::name($step[0]) . ' TO ' . Connection::name($step[1]);
		}
		for ($try = 1;; ++$try) {
			$began = microtime(true);
			if ($this->db->tried('RENAME TABLE ' . implode(', ', $parts))) {
				return round((microtime(true) - $began) * 1000, 1);
			}
			$fault = $this->db->fault();
			if ($fault->fault !== 'target_busy' || $try === self::TRIES) {
				throw $fault;
			}
			usleep(300000 * min(4, $try)); // those who waited behind us go first
		}
	}

	/** Refuses tables that others are tied to: renaming would carry the ties away. */
	public function untied(): void {
		$tied = array_fill_keys(Target::foreign_keys($this->db), 'foreign keys') + array_fill_keys(Target::triggers($this->db), 'triggers');
		foreach ($this->manifest->data['swap']['tables'] as $table) {
			if (isset($tied[$table['live']])) {
				throw new Fault(
					'table_not_exchangeable',
					'The table ' . $table['live'] . ' has ' . $tied[$table['live']] . '.',
					400,
					array('table' => $table['live'])
				);
			}
		}
	}

	/** New rows of the site stay away from the ids of rows that came. */
	public function bump(int $gap): void {
		foreach ($this->manifest->data['swap']['tables'] as $i => $table) {
			if ($table['action'] !== 'exchange') {
				continue;
			}
			$staged = $this->manifest->staged($table['n']);
			$column = Columns::auto_increment($this->db, $staged);
			if ($column === null) {
				continue;
			}
			$next = max((int) Columns::next_id($this->db, (string) $table['live']), (int) Columns::next_id($this->db, $staged));
			if ($next < Columns::largest($this->db, $staged, $column) - 2 * $gap) {
				$this->db->run('ALTER TABLE ' . Connection::name($staged) . ' AUTO_INCREMENT = ' . ($next + $gap));
				$this->manifest->data['swap']['tables'][$i]['bump'] = $next + $gap;
				$this->manifest->data['swap']['tables'][$i]['id']   = $column;
			}
		}
	}

	/** @return array<string, bool> those of our names that are tables now */
	private function existing(): array {
		$names = array();
		foreach ($this->manifest->data['swap']['tables'] as $table) {
			foreach (array((string) $table['live'], $this->manifest->staged($table['n']), $this->manifest->old($table['n'])) as $name) {
				$names[strtolower($name)] = $name;
			}
		}
		$found = array();
		foreach ($names ? $this->db->rows('SHOW TABLES', false) : array() as $row) {
			$name = strtolower((string) $row[0]);
			if (isset($names[$name])) {
				$found[$names[$name]] = true;
			}
		}
		return $found;
	}
}
