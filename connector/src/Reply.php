<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * The framed answer: magic `SFR1`, then frames of type (1 byte), flags (1), length (u32 BE), CRC-32 (u32 BE), payload.
 * `H` opens it with the request's nonce, `E` or `X` closes it, and `S` signs the nonce and all frame headers, so that
 * a truncated, cached or foreign answer is never taken for a complete one.
 */
final class Reply {

	const DEFLATED  = 1;
	const CONTINUES = 2;
	const FLUSH_AT  = 262144;

	/** @var \HashContext|null */
	private $mac;

	/** @var string */
	private $pending = '';

	/** @var bool */
	private $compress;

	/** @var bool */
	private $closed = false;

	/** @var int bytes of frames written so far, as sent */
	public $bytes = 0;

	/** @var float */
	private $flushed;

	public function __construct(string $nonce, string $key, bool $compress) {
		$this->mac      = hash_init('sha256', HASH_HMAC, $key);
		$this->compress = $compress;
		$this->flushed  = microtime(true);
		hash_update($this->mac, $nonce);
		self::headers(200, 'application/octet-stream');
		$this->pending = 'SFR1';
		$this->json('H', array(
			'nonce'     => $nonce,
			'connector' => SITEFERRY_CONNECTOR_VERSION,
			'instance'  => Site::instance($key),
		));
	}

	public function frame(string $type, string $payload, int $flags = 0, bool $squeeze = true): void {
		if ($this->compress && $squeeze && isset($payload[255])) {
			$packed = gzcompress($payload, 1);
			if (is_string($packed) && strlen($packed) < strlen($payload)) {
				$payload = $packed;
				$flags  |= self::DEFLATED;
			}
		}
		$length = strlen($payload);
		$header = $type . chr($flags) . pack('NN', $length, crc32($payload));
		if ($this->mac !== null) {
			hash_update($this->mac, $header);
		}
		$this->bytes += $length + 10;
		if ($length >= self::FLUSH_AT) {
			// Big payloads are not copied into the buffer.
			echo $this->pending, $header, $payload;
			$this->pending = '';
			flush();
			return;
		}
		$this->pending .= $header . $payload;
		if (isset($this->pending[self::FLUSH_AT]) || microtime(true) - $this->flushed > 1) {
			$this->flush();
		}
	}

	/** @param array<mixed> $data */
	public function json(string $type, array $data): void {
		$this->frame($type, self::encode($data));
	}

	/** @param array<string, mixed> $end cursor, done and statistics */
	public function end(array $end): void {
		$this->close('E', $end + array(
			'cursor'      => null,
			'done'        => true,
			'bytes'       => $this->bytes,
			'seconds'     => round(microtime(true) - Budget::began(), 3),
			'peak_memory' => memory_get_peak_usage(true),
		));
	}

	/** @param array<string, mixed> $details */
	public function fault(string $code, string $message, array $details = array()): void {
		$this->close('X', array('code' => $code, 'message' => $message, 'details' => (object) $details, 'peak_memory' => memory_get_peak_usage(true)));
	}

	/** @param array<string, mixed> $data */
	private function close(string $type, array $data): void {
		if ($this->closed) {
			return;
		}
		$this->closed = true;
		$this->json($type, $data);
		$signature = hash_final($this->mac);
		$this->mac = null;
		$this->frame('S', $signature);
		$this->flush();
	}

	/** Without a signature: what is said before the sender has proved who he is. */
	public static function refuse(Fault $fault): void {
		self::headers($fault->status, 'application/json');
		echo self::encode(array(
			'siteferry'   => 1,
			'code'        => $fault->fault,
			'message'     => $fault->getMessage(),
			'server_time' => time(),
		));
		flush();
	}

	private function flush(): void {
		echo $this->pending;
		$this->pending = '';
		$this->flushed = microtime(true);
		flush();
	}

	/** @param array<mixed> $data */
	private static function encode(array $data): string {
		return (string) json_encode(
			$data,
			JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR
		);
	}

	private static function headers(int $status, string $type): void {
		if (headers_sent()) {
			return; // an earlier plugin printed something; the client looks for the magic
		}
		http_response_code($status);
		header_remove('Set-Cookie');
		header('Content-Type: ' . $type);
		header('Cache-Control: no-store, no-transform, private, max-age=0');
		header('X-Accel-Buffering: no');
		header('X-LiteSpeed-Cache-Control: no-cache');
		header('X-Robots-Tag: noindex, nofollow');
		header('X-Content-Type-Options: nosniff');
	}
}
