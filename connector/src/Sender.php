<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Sends single files as F, B and C frames, and says W of those it can not send. */
final class Sender {

	const CHUNK = 1048576;

	/** Contents that deflate does not make smaller. */
	const PACKED = '/\.(jpe?g|png|gif|webp|avif|heic|mp[34]|m4[av]|mov|avi|webm|og[gv]|zip|gz|bz2|xz|zst|rar|7z|woff2?|pdf|phar)$/i';

	/** @var array<string, int> */
	public $stats = array('files' => 0, 'dirs' => 0, 'links' => 0, 'file_bytes' => 0, 'problems' => 0);

	/** @var Budget */
	private $budget;

	/** @var Reply */
	private $reply;

	public function __construct(Budget $budget, Reply $reply) {
		$this->budget = $budget;
		$this->reply  = $reply;
	}

	/**
	 * Sends a file from this byte on.
	 *
	 * @param array<string, mixed> $entry root, path, full
	 * @return array<string, mixed>|null a cursor when the budget ended inside the file
	 */
	public function file(array $entry, int $offset): ?array {
		$handle = @fopen($entry['full'], 'rb');
		if ($handle === false) {
			$this->problem($entry, file_exists($entry['full']) ? 'unreadable' : 'vanished');
			return null;
		}
		$stat  = (array) fstat($handle);
		$size  = (int) $stat['size'];
		$mtime = (int) $stat['mtime'];
		$this->reply->json('F', self::head($entry) + array('size' => $size, 'mtime' => $mtime, 'mode' => $stat['mode'] & 07777, 'offset' => $offset));
		stream_set_read_buffer($handle, 0);
		if ($offset > 0) {
			fseek($handle, $offset);
		}
		$squeeze = !preg_match(self::PACKED, $entry['path']);
		while ($offset < $size) {
			$chunk = fread($handle, min(self::CHUNK, $size - $offset));
			if ($chunk === false || $chunk === '') {
				break;
			}
			$offset += strlen($chunk);
			$this->reply->frame('B', $chunk, 0, $squeeze);
			$this->stats['file_bytes'] += strlen($chunk);
			if ($offset < $size && $this->budget->spent($this->reply->bytes)) {
				fclose($handle);
				return array('root' => $entry['root'], 'path_b64' => base64_encode($entry['path']), 'offset' => $offset, 'size' => $size, 'mtime' => $mtime);
			}
		}
		$now = (array) fstat($handle);
		fclose($handle);
		++$this->stats['files'];
		$changed = $offset !== $size || $now['size'] !== $size || $now['mtime'] !== $mtime;
		$this->reply->json('C', array('size' => $offset, 'changed' => $changed));
		return null;
	}

	/** @param array<string, mixed> $entry */
	public function problem(array $entry, string $reason): void {
		++$this->stats['problems'];
		$this->reply->json('W', self::head($entry) + array('reason' => $reason));
	}

	/**
	 * @param array<string, mixed> $entry
	 * @return array{root: string, path_b64: string}
	 */
	public static function head(array $entry): array {
		return array('root' => $entry['root'], 'path_b64' => base64_encode($entry['path']));
	}
}
