<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Options that stay the site's own: their live rows replace those of the staged options table. */
final class Options {

	/** @var Manifest */
	private $manifest;

	/** @var array<string, mixed> */
	private $table;

	/** @var array<string, mixed> */
	private $keep;

	/** @param array<string, mixed> $keep n (number of the staged table), names (exact), like (patterns) */
	public function __construct(Manifest $manifest, array $keep) {
		$this->manifest = $manifest;
		$this->table    = $manifest->table($keep['n'] ?? null);
		$this->keep     = $keep;
	}

	/** @return int options kept */
	public function refresh(Connection $db): int {
		$live    = Connection::name($this->table['name']);
		$staged  = Connection::name($this->manifest->staged($this->table['n']));
		$where   = $this->where($db);
		$columns = array_values(array_intersect(Columns::stored($db, $this->manifest->staged($this->table['n'])), Columns::stored($db, $this->table['name'])));
		if ($where === '') {
			return 0;
		}
		$every = self::listed($columns);
		$other = self::listed(array_diff($columns, array('option_id')));
		$db->run('START TRANSACTION');
		$db->run('DELETE FROM ' . $staged . ' WHERE ' . $where);
		$kept  = $db->run('INSERT INTO ' . $staged . ' (' . $every . ') SELECT ' . $every . ' FROM ' . $live . ' WHERE ' . $where
			. ' AND option_id NOT IN (SELECT option_id FROM ' . $staged . ')');
		$kept += $db->run('INSERT INTO ' . $staged . ' (' . $other . ') SELECT ' . $other . ' FROM ' . $live . ' WHERE ' . $where
			. ' AND option_name NOT IN (SELECT option_name FROM ' . $staged . ')');
		$db->run('COMMIT');
		return $kept;
	}

	/** The connector has to outlive the exchange, and permalinks are worked out anew. */
	public function prepare(Connection $db): void {
		$staged = Connection::name($this->manifest->staged($this->table['n']));
		$plugin = basename(dirname(SITEFERRY_CONNECTOR_FILE)) . '/' . basename(SITEFERRY_CONNECTOR_FILE);
		$active = " FROM %s WHERE option_name = 'active_plugins'";
		$here   = $db->rows('SELECT option_value AS v' . sprintf($active, Connection::name($this->table['name'])));
		$there  = $db->rows('SELECT option_value AS v' . sprintf($active, $staged));
		$wanted = $here && strpos((string) $here[0]['v'], $plugin) !== false;
		$list   = $there ? @unserialize((string) $there[0]['v'], array('allowed_classes' => false)) : false;
		if ($wanted && is_array($list) && !in_array($plugin, $list, true)) {
			$list[] = $plugin;
			sort($list);
			$db->run('UPDATE ' . $staged . ' SET option_value = ' . $db->quote(serialize($list)) . " WHERE option_name = 'active_plugins'");
		}
		$db->run('UPDATE ' . $staged . " SET option_value = '' WHERE option_name = 'rewrite_rules'");
	}

	private function where(Connection $db): string {
		$name  = Schema::describe($db, $this->table['name'])['option_name'];
		$value = static function ($text) use ($name, $db): string {
			return '_' . $name['charset'] . ' ' . $db->quote((string) $text) . ' COLLATE ' . $name['collation'];
		};
		$parts = array();
		$names = isset($this->keep['names']) ? (array) $this->keep['names'] : array();
		if ($names) {
			$parts[] = 'option_name IN (' . implode(', ', array_map($value, $names)) . ')';
		}
		foreach (isset($this->keep['like']) ? (array) $this->keep['like'] : array() as $pattern) {
			$parts[] = 'option_name LIKE ' . $value($pattern);
		}
		return $parts ? '(' . implode(' OR ', $parts) . ')' : '';
	}

	/** @param array<int, string> $columns */
	private static function listed(array $columns): string {
		return implode(', ', array_map(array(Connection::class, 'name'), $columns));
	}
}
