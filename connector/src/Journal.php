<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * Ends what was cut off. While an exchange runs, a marker beside the plugin and a must-use plugin say so; whoever comes
 * next (a visitor, a request of ours) and finds nobody at work brings it to an end: all new when the tables had been
 * exchanged, all old when not. A roll-back that was begun is always finished.
 */
final class Journal {

	const LOADER = '0-siteferry-journal.php';

	/** Called for every request while the marker is there; must never break one. */
	public static function replay(): void {
		try {
			$dir      = (string) @file_get_contents(self::marker());
			$manifest = Manifest::at($dir);
			if ($manifest === null) {
				self::close();
			} elseif ($manifest->lock(0.0)) {
				self::finish($manifest, 3);
				$manifest->unlock();
			}
		} catch (\Throwable $error) {
			return; // the database may be down: the next request tries again
		}
	}

	/** Waits for whoever works on this restore, then ends what he left. */
	public static function settle(Manifest $manifest): void {
		if (!in_array($manifest->state(), array('swapping', 'rolling_back'), true)) {
			return;
		}
		$manifest->must_lock();
		try {
			self::finish($manifest, 15);
		} finally {
			$manifest->unlock();
		}
	}

	/** What `settle` does, for who holds the lock already. */
	public static function finish(Manifest $manifest, int $wait): void {
		$state = $manifest->state();
		if ($state !== 'swapping' && $state !== 'rolling_back') {
			self::close();
			return;
		}
		ignore_user_abort(true);
		$exchange = new Exchange($manifest, new Connection(false, true));
		if (!$exchange->take($wait)) {
			throw new Fault('target_busy', 'The database still works on the exchange.');
		}
		$manifest->data['replayed'] = true;
		if ($state === 'rolling_back') {
			(new Rollback($manifest))->finish($exchange);
			(new Late($manifest))->back();
			return;
		}
		$steps = $exchange->steps(true);
		if (count($steps) < $exchange->length()) {
			(new Swap($manifest))->finish($exchange, $steps);
			(new Late($manifest))->forward();
			return;
		}
		self::undo($manifest);
	}

	/** Before the tables are exchanged: the old files come back, what is staged stays staged. */
	public static function undo(Manifest $manifest): void {
		$files = new FileSwap($manifest);
		$files->back();
		$files->settle();
		unset($manifest->data['swap']);
		$manifest->enter('staged');
		Disk::remove($manifest->dir . '/old');
		self::close();
	}

	/** Says that an exchange begins. */
	public static function open(Manifest $manifest): void {
		$other = (string) @file_get_contents(self::marker());
		if ($other !== '' && $other !== $manifest->dir && Manifest::at($other) !== null) {
			throw new Fault('target_busy', 'Another exchange is not at its end.');
		}
		Disk::put(dirname(SITEFERRY_CONNECTOR_FILE) . '/abspath', Site::clean(ABSPATH)); // for rescue.php
		Disk::put(self::marker(), $manifest->dir, true);
		$loader = self::loader($manifest);
		if ($loader === null) {
			return;
		}
		try {
			Disk::directory(dirname($loader));
			Disk::put($loader, "<?php\n/* Siteferry: ends an exchange that was cut off. Removes itself. */\n"
				. '$siteferry = ' . var_export(Site::clean(SITEFERRY_CONNECTOR_FILE), true) . ";\n"
				. "if (is_file(dirname(\$siteferry) . '/journal') && is_file(\$siteferry) && !defined('SITEFERRY_CONNECTOR_VERSION')) {\n\trequire_once \$siteferry;\n}\n");
		} catch (Fault $fault) {
			return; // the plugin itself and rescue.php do the same, a little later
		}
	}

	/** The connector stays while an exchange is not at its end. */
	public static function guard(): void {
		if (is_file(self::marker())) {
			throw new Fault('target_busy', 'An exchange of tables and files is not at its end.');
		}
		self::close();
	}

	/** The marker goes last: as long as it is there, somebody tidies up. */
	public static function close(): void {
		$dir = defined('WPMU_PLUGIN_DIR') ? WPMU_PLUGIN_DIR : WP_CONTENT_DIR . '/mu-plugins';
		if (is_file($dir . '/' . self::LOADER)) {
			@unlink($dir . '/' . self::LOADER);
			@rmdir($dir); // only when it is empty
		}
		@unlink(self::marker());
	}

	private static function loader(Manifest $manifest): ?string {
		$bases = $manifest->bases();
		return isset($bases['mu-plugins']) ? $bases['mu-plugins'] . '/' . self::LOADER : null;
	}

	private static function marker(): string {
		return dirname(SITEFERRY_CONNECTOR_FILE) . '/journal';
	}
}
