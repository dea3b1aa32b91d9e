<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** The pairing key: a PHP file beside the plugin, so that it is never in the database and prints nothing when fetched. */
final class Key {

	/** Seconds a key made on this site stays valid. */
	const MANUAL_LIFETIME = 7 * 86400;

	/** @return array{key: string, expires: int, job: string}|null null when there is no (usable) key */
	public static function load(): ?array {
		$file = self::file();
		if (!is_file($file)) {
			return null;
		}
		$data = include $file;
		if (!is_array($data) || empty($data['key']) || !preg_match('/^[0-9a-f]{64}$/', (string) $data['key'])) {
			return null;
		}
		return array(
			'key'     => (string) hex2bin($data['key']),
			'expires' => isset($data['expires']) ? (int) $data['expires'] : 0,
			'job'     => isset($data['job']) ? (string) $data['job'] : '',
		);
	}

	/** On activation: a zip built for a job brings its key, a manually installed one gets a random key. */
	public static function ensure(): void {
		if (self::load() === null) {
			self::generate();
		}
	}

	public static function generate(): bool {
		$code = sprintf(
			"<?php return array('key' => '%s', 'expires' => %d, 'job' => '');\n",
			bin2hex(random_bytes(32)),
			time() + self::MANUAL_LIFETIME
		);
		$done = file_put_contents(self::file(), $code, LOCK_EX) === strlen($code);
		@chmod(self::file(), 0600);
		if (function_exists('opcache_invalidate')) {
			@opcache_invalidate(self::file(), true);
		}
		return $done;
	}

	/** What a person copies into Siteferry. */
	public static function pairing(string $key): string {
		return 'sf1_' . rtrim(strtr(base64_encode($key), '+/', '-_'), '=');
	}

	private static function file(): string {
		return dirname(SITEFERRY_CONNECTOR_FILE) . '/key.php';
	}
}
