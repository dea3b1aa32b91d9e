<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** `swap.rollback`: the old tables and files become the live ones again. The RENAME comes first: until it is done nothing has changed. */
final class Rollback {

	/** @var Manifest */
	private $manifest;

	public function __construct(Manifest $manifest) {
		$this->manifest = $manifest;
	}

	/**
	 * @param array<string, mixed> $params restore
	 * @return array<string, mixed>
	 */
	public static function run(array $params): array {
		ignore_user_abort(true);
		$began    = microtime(true);
		$manifest = Manifest::of($params);
		$manifest->must_lock();
		try {
			Journal::finish($manifest, 15);
			if ($manifest->state() === 'swapped') {
				(new self($manifest))->exchange($began);
			}
			$done = (array) ($manifest->data['undone'] ?? array()) + array('rename_ms' => 0.0, 'total_ms' => 0.0);
			if ($manifest->state() !== 'rolled_back') {
				return array('rolled_back' => true, 'late' => Late::none()) + $done; // never swapped: all is old
			}
			return array('rolled_back' => true, 'late' => (new Late($manifest))->back()) + $done;
		} finally {
			$manifest->unlock();
		}
	}

	private function exchange(float $began): void {
		$manifest = $this->manifest;
		$exchange = new Exchange($manifest, new Connection(false, true));
		if (!$exchange->take(10)) {
			throw new Fault('target_busy', 'Another connection works on the exchange.');
		}
		Journal::open($manifest);
		$manifest->enter('rolling_back');
		try {
			$renamed = $exchange->rename($exchange->steps(false));
		} catch (Fault $fault) {
			if ($fault->fault !== 'database_lost') {
				$manifest->enter('swapped'); // the RENAME did nothing, so nothing has changed
				Journal::close();
			}
			throw $fault;
		}
		$this->finish($exchange, $renamed);
		$manifest->data['undone']['total_ms'] = round((microtime(true) - $began) * 1000, 1);
		$manifest->save();
	}

	/** Ends a roll-back that was begun. */
	public function finish(Exchange $exchange, float $renamed = 0.0): void {
		$renamed += $exchange->rename($exchange->steps(false));
		(new FileSwap($this->manifest))->back();
		$this->manifest->data['undone'] = array('rename_ms' => $renamed);
		$this->manifest->enter('rolled_back');
		Swap::refreshed($this->manifest);
		Journal::close();
	}
}
