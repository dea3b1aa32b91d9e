<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * Rows that visitors add while a restore is at work are carried from the tables that leave into those that come: they are
 * told by ids above the highest one that was copied. Each table is carried once. The options table is never carried.
 */
final class Late {

	/** @var Manifest */
	private $manifest;

	public function __construct(Manifest $manifest) {
		$this->manifest = $manifest;
	}

	/** Between the copy and the swap: from the old tables into the live ones. @return array<string, mixed> */
	public function forward(): array {
		$all = array();
		foreach ($this->manifest->data['swap']['tables'] as $table) {
			$staged = $this->manifest->data['tables'][$table['n']] ?? array();
			if ($table['action'] === 'exchange' && isset($staged['id'], $staged['floor']) && $staged['from'] === 'live') {
				$where = self::above((string) $staged['id'], (int) $staged['floor'], (array) $staged['gaps']);
				$all[] = array($table, $this->manifest->old($table['n']), (string) $table['live'], $where);
			}
		}
		return $this->carry('late', $all);
	}

	/** Since the swap: from the tables that were live into the old ones that are live again. @return array<string, mixed> */
	public function back(): array {
		$all = array();
		foreach ($this->manifest->data['swap']['tables'] as $table) {
			if (isset($table['bump'], $table['id'])) {
				$where = self::above((string) $table['id'], $table['bump'] - 1, array());
				$all[] = array($table, $this->manifest->staged($table['n']), (string) $table['live'], $where);
			}
		}
		return $this->carry('late_back', $all);
	}

	/** @return array{rows: int, by_table: object, skipped: object} */
	public static function none(): array {
		return array('rows' => 0, 'by_table' => (object) array(), 'skipped' => (object) array());
	}

	/**
	 * @param array<int, array{0: array<string, mixed>, 1: string, 2: string, 3: string}> $all table, from, into, condition
	 * @return array<string, mixed>
	 */
	private function carry(string $place, array $all): array {
		$done = isset($this->manifest->data[$place]) ? $this->manifest->data[$place] : array();
		$db   = null;
		foreach ($all as list($table, $from, $into, $where)) {
			if (isset($done[$into]) || $into === Site::prefix() . 'options') {
				continue;
			}
			$db          = $db === null ? new Connection(false, true) : $db;
			$done[$into] = self::rows($db, $from, $into, $where);
			$this->manifest->data[$place] = $done;
			if (array_sum($done[$into]) > 0) {
				$this->manifest->save();
			}
		}
		if ($db !== null) {
			$this->manifest->save();
		}
		$moved   = array_filter(self::each($done, 0));
		$skipped = array_filter(self::each($done, 1));
		return array('rows' => array_sum($moved), 'by_table' => (object) $moved, 'skipped' => (object) $skipped);
	}

	/** @return array{0: int, 1: int} rows carried, rows whose place was taken */
	private static function rows(Connection $db, string $from, string $into, string $where): array {
		$found = (int) $db->rows('SELECT COUNT(*) AS n FROM ' . Connection::name($from) . ' WHERE ' . $where)[0]['n'];
		if ($found === 0) {
			return array(0, 0);
		}
		$columns = array_intersect(Columns::stored($db, $from), Columns::stored($db, $into));
		$names   = implode(', ', array_map(array(Connection::class, 'name'), $columns));
		$moved   = $db->run('INSERT IGNORE INTO ' . Connection::name($into) . ' (' . $names . ') SELECT ' . $names
			. ' FROM ' . Connection::name($from) . ' WHERE ' . $where);
		return array($moved, $found - $moved);
	}

	/**
	 * @param array<string, array{0: int, 1: int}> $done
	 * @return array<string, int>
	 */
	private static function each(array $done, int $which): array {
		return array_map(static function ($counts) use ($which) {
			return $counts[$which];
		}, $done);
	}

	/** @param array<int, mixed> $gaps */
	private static function above(string $column, int $floor, array $gaps): string {
		$name = Connection::name($column);
		return '(' . $name . ' > ' . $floor . ($gaps ? ' OR ' . $name . ' IN (' . implode(', ', array_map('intval', $gaps)) . ')' : '') . ')';
	}
}
