<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** `health`: how the site is, seen from inside. */
final class Health {

	const TAIL = 262144;
	const MAX  = 20;

	/** @param array<string, mixed> $params since (Unix seconds) @return array<string, mixed> */
	public static function now(array $params): array {
		$file   = self::log();
		$errors = $file === null ? array() : self::fatal($file, (float) ($params['since'] ?? 0));
		return array(
			'php_errors'     => $errors,
			'log_readable'   => $file !== null,
			'active_plugins' => array_values((array) get_option('active_plugins', array())),
			'theme'          => (string) get_option('stylesheet'),
			'paused'         => self::paused(),
		);
	}

	private static function log(): ?string {
		$debug = defined('WP_DEBUG_LOG') && is_string(WP_DEBUG_LOG) ? WP_DEBUG_LOG : WP_CONTENT_DIR . '/debug.log';
		foreach (array((string) ini_get('error_log'), $debug) as $file) {
			if ($file !== '' && $file !== 'syslog' && @is_file($file) && @is_readable($file)) {
				return $file;
			}
		}
		return null;
	}

	/** @return string[] the first lines of fatal errors since then, newest last */
	private static function fatal(string $file, float $since): array {
		$size   = (int) filesize($file);
		$tail   = (string) @file_get_contents($file, false, null, max(0, $size - self::TAIL));
		$errors = array();
		foreach (explode("\n", $tail) as $line) {
			if (!preg_match('/^\[([^\]]+)\] PHP (Fatal|Parse) error:\s*(.*)$/', $line, $found)) {
				continue;
			}
			$time = strtotime($found[1]);
			if ($time === false || $time >= $since) {
				$errors[] = substr(str_replace(ABSPATH, '', $found[3]), 0, 500);
			}
		}
		return array_slice($errors, -self::MAX);
	}

	/** @return string[] */
	private static function paused(): array {
		$paused = array();
		foreach (array('wp_paused_plugins', 'wp_paused_themes') as $which) {
			$paused = function_exists($which) ? array_merge($paused, array_keys((array) $which()->get_all())) : $paused;
		}
		return array_map('strval', $paused);
	}
}
