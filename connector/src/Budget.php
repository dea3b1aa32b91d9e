<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** How long and how much one answer may be. Counted from the start of the request, so that loading WordPress counts too. */
final class Budget {

	const MARGIN = 5.0;

	/** @var float */
	private $until;

	/** @var int|null */
	private $max_bytes;

	/** @param array<string, mixed> $params `budget` in seconds (default 10), `max_bytes` of frames (default: no limit) */
	public function __construct(array $params) {
		$seconds = isset($params['budget']) ? (float) $params['budget'] : 10.0;
		if (function_exists('set_time_limit')) {
			@set_time_limit(0);
		}
		$limit = (int) ini_get('max_execution_time');
		if ($limit > 0) {
			$seconds = min($seconds, max(1.0, $limit - self::MARGIN));
		}
		$this->until     = self::began() + $seconds;
		$this->max_bytes = isset($params['max_bytes']) ? max(1, (int) $params['max_bytes']) : null;
	}

	public function spent(int $bytes = 0): bool {
		return microtime(true) >= $this->until || ($this->max_bytes !== null && $bytes >= $this->max_bytes);
	}

	public static function began(): float {
		static $now = null;
		if ($now === null) {
			$now = microtime(true);
		}
		return isset($_SERVER['REQUEST_TIME_FLOAT']) ? (float) $_SERVER['REQUEST_TIME_FLOAT'] : $now;
	}
}
