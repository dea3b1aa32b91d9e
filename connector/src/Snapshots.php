<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** What restores have left here: `swap.state` of one, `snapshots` of all, `swap.late`. */
final class Snapshots {

	/** @param array<string, mixed> $params restore @return array<string, mixed> */
	public static function state(array $params): array {
		$manifest = Manifest::find((string) ($params['restore'] ?? ''));
		if ($manifest === null) {
			return array('state' => 'none', 'restore' => (string) ($params['restore'] ?? ''));
		}
		Journal::settle($manifest);
		$state = $manifest->state();
		$after = in_array($state, array('swapped', 'rolled_back'), true);
		return array(
			'state'       => $state,
			'restore'     => $manifest->restore,
			'created'     => $manifest->data['created'],
			'tables'      => count($manifest->data['tables']),
			'files'       => count($manifest->data['swap']['files'] ?? array()),
			'replayed'    => !empty($manifest->data['replayed']),
			'swapped'     => $after ? Swap::answer($manifest) + array('late' => self::late_of($manifest, 'late')) : null,
			'rolled_back' => $state === 'rolled_back'
				? (array) ($manifest->data['undone'] ?? array()) + array('rename_ms' => 0.0, 'total_ms' => 0.0, 'late' => self::late_of($manifest, 'late_back'))
				: null,
		);
	}

	/** @param array<string, mixed> $params restore @return array<string, mixed> */
	public static function late(array $params): array {
		$manifest = Manifest::of($params);
		Journal::settle($manifest);
		$manifest->must_lock();
		try {
			if ($manifest->state() !== 'swapped') {
				throw new Fault('bad_params', 'This restore is not swapped: ' . $manifest->state() . '.');
			}
			return (new Late($manifest))->forward();
		} finally {
			$manifest->unlock();
		}
	}

	/** @return array{snapshots: array<int, array<string, mixed>>} */
	public static function all(): array {
		$db    = new Connection(false);
		$sizes = array_column($db->rows(
			"SELECT SUBSTRING(TABLE_NAME, 5, 8) AS tag, SUM(COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0)) AS b FROM information_schema.TABLES "
			. "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME REGEXP '^sf[no]_[0-9a-f]{8}_[0-9]+$' GROUP BY tag"
		), 'b', 'tag');
		$found = array();
		foreach (Manifest::all() as $manifest) {
			Journal::settle($manifest);
			$tag     = Names::tag($manifest->restore);
			$found[] = array(
				'restore' => $manifest->restore,
				'state'   => $manifest->state(),
				'created' => $manifest->data['created'],
				'tables'  => count($manifest->data['tables']),
				'files'   => count($manifest->data['swap']['files'] ?? array()),
				'bytes'   => Disk::size($manifest->dir) + (int) ($sizes[$tag] ?? 0),
			);
		}
		return array('snapshots' => $found);
	}

	/** @return array<string, mixed> */
	private static function late_of(Manifest $manifest, string $place): array {
		$done = (array) ($manifest->data[$place] ?? array());
		return array(
			'rows'     => array_sum(array_column($done, 0)),
			'by_table' => (object) array_filter(array_combine(array_keys($done), array_column($done, 0))),
			'skipped'  => (object) array_filter(array_combine(array_keys($done), array_column($done, 1))),
		);
	}
}
