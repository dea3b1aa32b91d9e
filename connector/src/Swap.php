<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * `swap`: the staged tables and files become the live ones. The one RENAME of all tables is the point where the site turns;
 * files go before it. Interrupted anywhere, the journal makes it entirely old or entirely new.
 */
final class Swap {

	/** @var Manifest */
	private $manifest;

	public function __construct(Manifest $manifest) {
		$this->manifest = $manifest;
	}

	/**
	 * @param array<string, mixed> $params restore, tables, files, options_keep, auto_increment_gap
	 * @return array<string, mixed>
	 */
	public static function run(array $params): array {
		ignore_user_abort(true);
		$manifest = Manifest::of($params);
		$manifest->must_lock();
		try {
			Journal::finish($manifest, 15);
			if ($manifest->state() === 'staged') {
				(new self($manifest))->exchange($params);
			}
			if ($manifest->state() !== 'swapped') {
				throw new Fault('bad_params', 'This restore can not be swapped any more: ' . $manifest->state() . '.');
			}
			return self::answer($manifest) + array('late' => (new Late($manifest))->forward());
		} finally {
			$manifest->unlock();
		}
	}

	/** @return array<string, mixed> */
	public static function answer(Manifest $manifest): array {
		return array('swapped' => true) + (array) ($manifest->data['done'] ?? array());
	}

	/**
	 * Behind the commit point: whatever is left to do is done.
	 *
	 * @param array<int, array{0: string, 1: string}> $steps renamings that a server without atomic DDL still owes
	 */
	public function finish(Exchange $exchange, array $steps): void {
		$exchange->rename($steps);
		(new FileSwap($this->manifest))->forward();
		$this->complete();
	}

	/** @param array<string, mixed> $params */
	private function exchange(array $params): void {
		$manifest = $this->manifest;
		$db       = new Connection(false, true);
		$exchange = new Exchange($manifest, $db);
		$manifest->data['swap'] = $this->plan($params);
		$files    = new FileSwap($manifest);
		$exchange->untied();
		if (count($exchange->steps(true)) !== $exchange->length()) {
			throw new Fault('stage_lost', 'A table of this restore is not there, or not live any more.');
		}
		$files->check();
		if (!$exchange->take(10)) {
			throw new Fault('target_busy', 'Another connection works on the exchange.');
		}
		$this->options($params, $db);
		$exchange->bump(max(0, (int) ($params['auto_increment_gap'] ?? 10000)));
		$manifest->data['swap']['added'] = $files->additions();
		$manifest->data['done']          = array('files' => count($manifest->data['swap']['files']), 'tables' => count($manifest->data['swap']['tables']));
		Journal::open($manifest);
		$manifest->enter('swapping');
		try {
			$began = microtime(true);
			$files->forward();
			$manifest->data['done']['files_ms']  = round((microtime(true) - $began) * 1000, 1);
			$manifest->data['done']['rename_ms'] = $exchange->rename($exchange->steps(true));
		} catch (Fault $fault) {
			$this->failed($fault, $exchange);
		}
		$this->complete();
	}

	/** Nothing was renamed: the old files come back. When nobody knows, the journal finds out. */
	private function failed(Fault $fault, Exchange $exchange): void {
		if ($fault->fault === 'database_lost') {
			throw $fault;
		}
		if (count($exchange->steps(true)) === $exchange->length()) {
			Journal::undo($this->manifest);
			throw $fault;
		}
		$exchange->rename($exchange->steps(true));
	}

	private function complete(): void {
		$this->manifest->data['done'] += array('files_ms' => 0.0, 'rename_ms' => 0.0);
		$this->manifest->data['swapped'] = microtime(true);
		$this->manifest->enter('swapped');
		self::refreshed($this->manifest);
		Journal::close();
	}

	/** What the site remembers of its tables and files is forgotten. */
	public static function refreshed(Manifest $manifest): void {
		(new FileSwap($manifest))->settle();
		if (function_exists('wp_cache_flush')) {
			wp_cache_flush();
		}
		try {
			Caches::clear();
		} catch (\Throwable $error) {
			return; // the exchange is done: an old page is no reason to say otherwise
		}
	}

	/**
	 * @param array<string, mixed> $params
	 * @return array{tables: array<int, array<string, mixed>>, files: array<int, array<string, string>>, added: array<string, int>}
	 */
	private function plan(array $params): array {
		$tables = array();
		$bases  = $this->manifest->bases();
		foreach (isset($params['tables']) ? (array) $params['tables'] : array() as $table) {
			$action = (string) ($table['action'] ?? 'exchange');
			if (!in_array($action, array('exchange', 'create', 'drop'), true) || Names::ours((string) $table['live'])) {
				throw new Fault('bad_params', 'A table of the swap is not described aright.');
			}
			if ($action !== 'drop' && empty($this->manifest->table((int) $table['n'])['copied'])) {
				throw new Fault('stage_lost', 'The table ' . $table['live'] . ' is not staged completely.');
			}
			$tables[] = array('n' => (int) $table['n'], 'live' => (string) $table['live'], 'action' => $action);
		}
		$files = array();
		foreach (isset($params['files']) ? (array) $params['files'] : array() as $file) {
			Paths::named($file, $bases);
			$files[] = array('base' => (string) $file['base'], 'path_b64' => (string) $file['path_b64'], 'action' => $file['action'] === 'remove' ? 'remove' : 'put');
		}
		return array('tables' => $tables, 'files' => $files, 'added' => array());
	}

	/** @param array<string, mixed> $params */
	private function options(array $params, Connection $db): void {
		if (empty($params['options_keep'])) {
			return;
		}
		$options = new Options($this->manifest, (array) $params['options_keep']);
		$options->refresh($db);
		$options->prepare($db);
	}
}
