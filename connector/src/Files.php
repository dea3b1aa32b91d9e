<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * `files.count` and `files.stream`: the same walk, once to know what is coming, once to send it.
 *
 * The cursor is `{root, path_b64, offset, size, mtime}`: everything up to and including the path is done, or, when
 * `offset` is not null, the file is sent up to that byte. `past` (for a directory that can not be read): what is in it is done too.
 */
final class Files {

	const CHUNK     = 1048576;
	const MAX_LISTED = 2000;

	/** Contents that deflate does not make smaller. */
	const PACKED = '/\.(jpe?g|png|gif|webp|avif|heic|mp[34]|m4[av]|mov|avi|webm|og[gv]|zip|gz|bz2|xz|zst|rar|7z|woff2?|pdf|phar)$/i';

	/** @var array<string, array{id: string, path: string, path_b64: string, target: string, only: string[]|null}> */
	private $roots;

	/** @var Skips */
	private $skips;

	/** @var Budget */
	private $budget;

	/** @var Reply */
	private $reply;

	/** @var array<string, mixed>|null */
	private $cursor;

	/** @var array<string, int> */
	private $stats = array('files' => 0, 'dirs' => 0, 'links' => 0, 'file_bytes' => 0, 'problems' => 0);

	/** @param array<string, mixed> $params */
	public function __construct(array $params, Budget $budget, Reply $reply) {
		$this->budget = $budget;
		$this->reply  = $reply;
		$this->roots  = self::chosen(isset($params['roots']) ? (array) $params['roots'] : array());
		$this->skips  = new Skips(isset($params['skip']) ? (array) $params['skip'] : array(), array_column($this->roots, 'path'));
		$this->cursor = isset($params['cursor']) ? (array) $params['cursor'] : null;
	}

	public function count(): void {
		$result = array('files' => 0, 'bytes' => 0, 'dirs' => 0, 'links' => 0, 'skipped' => array(), 'problems' => array(), 'unlisted' => 0);
		$cursor = null;
		$steps  = 0;
		foreach ($this->walk() as $entry) {
			$this->tally($entry, $result);
			if ((++$steps & 127) === 0 && $this->budget->spent()) {
				$cursor = $this->after($entry);
				break;
			}
		}
		$this->reply->json('J', $result + array('cursor' => $cursor, 'done' => $cursor === null));
		$this->reply->end(array('cursor' => $cursor, 'done' => $cursor === null));
	}

	public function stream(): void {
		$cursor = $this->unfinished();
		if ($cursor === null) {
			foreach ($this->walk() as $entry) {
				$cursor = $this->send($entry);
				if ($cursor === null && $this->budget->spent($this->reply->bytes)) {
					$cursor = $this->after($entry);
				}
				if ($cursor !== null) {
					break;
				}
			}
		}
		$this->reply->end($this->stats + array('cursor' => $cursor, 'done' => $cursor === null));
	}

	/** @return \Generator<int, array<string, mixed>> */
	private function walk(): \Generator {
		$after   = $this->cursor === null ? null : self::path_of($this->cursor);
		$past    = !empty($this->cursor['past']);
		$waiting = $this->cursor !== null;
		foreach ($this->roots as $id => $root) {
			if ($waiting && $id !== $this->cursor['root']) {
				continue;
			}
			$waiting = false;
			foreach ((new Walker($root, $this->skips))->entries($after, $past) as $entry) {
				$entry['root'] = $id;
				yield $entry;
			}
			$after = null;
			$past  = false;
		}
		if ($waiting) {
			throw new Fault('bad_cursor', 'The cursor names a directory that is not part of this request.');
		}
	}

	/**
	 * @param array<string, mixed> $entry
	 * @param array<string, mixed> $result
	 */
	private function tally(array $entry, array &$result): void {
		$kind = $entry['kind'];
		if ($kind === 'file' && !is_readable($entry['full'])) {
			$kind            = 'problem';
			$entry['reason'] = 'unreadable';
		}
		if ($kind === 'file') {
			++$result['files'];
			$result['bytes'] += $entry['stat']['size'];
		} elseif ($kind === 'dir') {
			++$result['dirs'];
		} elseif ($kind === 'link') {
			++$result['links'];
		} else {
			$list = $kind === 'skipped' ? 'skipped' : 'problems';
			if (count($result[$list]) >= self::MAX_LISTED) {
				++$result['unlisted'];
				return;
			}
			$is_file          = isset($entry['stat']) && ($entry['stat']['mode'] & 0170000) === 0100000;
			$result[$list][] = array(
				'root'     => $entry['root'],
				'path_b64' => base64_encode($entry['path']),
				'reason'   => $entry['reason'],
				'bytes'    => $is_file ? $entry['stat']['size'] : null,
			);
		}
	}

	/**
	 * @param array<string, mixed> $entry
	 * @return array<string, mixed>|null a cursor when the budget ended inside a file
	 */
	private function send(array $entry): ?array {
		switch ($entry['kind']) {
			case 'file':
				return $this->file($entry, 0);
			case 'dir':
				++$this->stats['dirs'];
				$this->reply->json('D', self::head($entry) + array('mode' => $entry['stat']['mode'] & 07777, 'mtime' => $entry['stat']['mtime']));
				return null;
			case 'link':
				++$this->stats['links'];
				$this->reply->json('L', self::head($entry) + array('target_b64' => base64_encode($entry['target'])));
				return null;
			case 'problem':
				$this->problem($entry, $entry['reason']);
		}
		return null;
	}

	/** @return array<string, mixed>|null a cursor when the file the last answer ended in is still not finished */
	private function unfinished(): ?array {
		if ($this->cursor === null || !isset($this->cursor['offset'], $this->roots[$this->cursor['root']])) {
			return null;
		}
		$path  = self::path_of($this->cursor);
		$full  = $this->roots[$this->cursor['root']]['path'] . '/' . $path;
		$stat  = @stat($full);
		$entry = array('root' => $this->cursor['root'], 'path' => $path, 'full' => $full, 'stat' => $stat);
		if ($stat === false || ($stat['mode'] & 0170000) !== 0100000) {
			$this->problem($entry, 'vanished');
			return null;
		}
		$same = $stat['size'] === $this->cursor['size'] && $stat['mtime'] === $this->cursor['mtime'];
		return $this->file($entry, $same ? (int) $this->cursor['offset'] : 0)
			?? ($this->budget->spent($this->reply->bytes) ? $this->after($entry) : null);
	}

	/**
	 * @param array<string, mixed> $entry
	 * @return array<string, mixed>|null
	 */
	private function file(array $entry, int $offset): ?array {
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
	private function problem(array $entry, string $reason): void {
		++$this->stats['problems'];
		$this->reply->json('W', self::head($entry) + array('reason' => $reason));
	}

	/**
	 * @param array<string, mixed> $entry
	 * @return array<string, mixed>
	 */
	private function after(array $entry): array {
		$past = isset($entry['kind']) && $entry['kind'] === 'problem';
		return self::head($entry) + array('offset' => null) + ($past ? array('past' => true) : array());
	}

	/**
	 * @param array<string, mixed> $entry
	 * @return array{root: string, path_b64: string}
	 */
	private static function head(array $entry): array {
		return array('root' => $entry['root'], 'path_b64' => base64_encode($entry['path']));
	}

	/** @param array<string, mixed> $cursor */
	private static function path_of(array $cursor): string {
		$path = isset($cursor['path_b64']) ? base64_decode((string) $cursor['path_b64'], true) : false;
		if (!is_string($path) || strpos($path, "\0") !== false || preg_match('#(^|/)\.{0,2}(/|\z)#', $path)) {
			throw new Fault('bad_cursor', 'The cursor can not be read.');
		}
		return $path;
	}

	/**
	 * Roots are named by id; their paths are this site's own business.
	 *
	 * @param array<int, mixed> $wanted ids or arrays with an `id`; empty = all
	 * @return array<string, array{id: string, path: string, path_b64: string, target: string, only: string[]|null}>
	 */
	private static function chosen(array $wanted): array {
		$roots = Site::roots();
		if (!$wanted) {
			return $roots;
		}
		$chosen = array();
		foreach ($wanted as $want) {
			$id = is_array($want) ? (isset($want['id']) ? (string) $want['id'] : '') : (string) $want;
			if (!isset($roots[$id])) {
				throw new Fault('bad_params', 'This site has no root "' . $id . '".');
			}
			$chosen[$id] = $roots[$id];
		}
		return $chosen;
	}
}
