<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** A signed request, `SF1.<HMAC-SHA256 hex>.<base64 of the deflated JSON envelope>`: opaque to firewalls, usable once. */
final class Request {

	/** Longest time between signing and use, in seconds. */
	const WINDOW = 300;

	/** @var string */
	public $op;

	/** @var array<string, mixed> */
	public $params;

	/** @var string */
	public $nonce;

	/** @throws Fault when the request is not ours, not signed with our key, too old or used before. */
	public static function open(string $body, string $key): self {
		if (!preg_match('/^SF1\.([0-9a-f]{64})\.([A-Za-z0-9+\/=]+)\s*$/D', $body, $parts)) {
			throw new Fault('bad_request', 'This is not a Siteferry request.', 400);
		}
		if (!hash_equals(hash_hmac('sha256', $parts[2], $key), $parts[1])) {
			throw new Fault('bad_signature', 'The request is signed with another key.', 403);
		}
		if (!function_exists('gzinflate')) {
			throw new Fault('zlib_missing', 'PHP has no zlib extension.', 500);
		}
		$json = @gzinflate((string) base64_decode($parts[2], true), 64 * 1048576);
		$data = is_string($json) ? json_decode($json, true) : null;
		if (!is_array($data) || !isset($data['version'], $data['op'], $data['expires'], $data['nonce'])) {
			throw new Fault('bad_request', 'The envelope can not be read.', 400);
		}
		if ($data['version'] !== 1) {
			throw new Fault('bad_version', 'This connector speaks version 1 of the protocol.', 400);
		}
		$left = (int) $data['expires'] - time();
		if ($left < 0 || $left > 2 * self::WINDOW) {
			throw new Fault('stale_request', 'The request is outside its time window.', 403);
		}
		self::claim((string) $data['nonce']);
		$request         = new self();
		$request->op     = (string) $data['op'];
		$request->params = isset($data['params']) && is_array($data['params']) ? $data['params'] : array();
		$request->nonce  = (string) $data['nonce'];
		return $request;
	}

	/** The file system decides who used a nonce first: creating a file that must not exist is atomic. */
	private static function claim(string $nonce): void {
		if (!preg_match('/^[0-9a-f]{32}$/D', $nonce)) {
			throw new Fault('bad_request', 'The nonce is malformed.', 400);
		}
		$dir = dirname(SITEFERRY_CONNECTOR_FILE) . '/nonces';
		if (!is_dir($dir) && !@mkdir($dir, 0755) && !is_dir($dir)) {
			throw new Fault('not_writable', 'The connector can not write to its own directory.', 500);
		}
		if (mt_rand(0, 15) === 0) {
			self::purge($dir);
		}
		$handle = @fopen($dir . '/' . $nonce, 'x');
		if ($handle === false) {
			$used = file_exists($dir . '/' . $nonce);
			throw $used
				? new Fault('replayed', 'This request was used before.', 403)
				: new Fault('not_writable', 'The connector can not write to its own directory.', 500);
		}
		fclose($handle);
	}

	private static function purge(string $dir): void {
		$names = @scandir($dir);
		foreach (is_array($names) ? $names : array() as $name) {
			$file = $dir . '/' . $name;
			if (strlen($name) === 32 && (int) @filemtime($file) < time() - 3 * self::WINDOW) {
				@unlink($file);
			}
		}
	}
}
