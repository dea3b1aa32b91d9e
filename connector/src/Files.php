<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * `files.count` and `files.stream`: the same walk, once to know what is coming, once to send it.
 *
 * The cursor is `{root, path_b64, offset, size, mtime}`: everything up to and including the path is done, or, when
 * `offset` is not null, the file is sent up to that byte. `past` (for a directory that can not be read): what is in it is done too.
 *
 * With `digest`, files come as lists of a few hundred in J: `{root, path_b64, size, mtime, mode, md5}`, md5 null for what
 * can not be read. With `files`, nothing is walked: these are sent, `{root, path_b64}` each; its cursor has `at` too, how
 * many of them are done.
 */
final class Files {

	const MAX_LISTED  = 2000;
	const LIST_LENGTH = 400;
	const MAX_NAMES   = 5000;

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

	/** @var Sender */
	private $sender;

	/** @var bool */
	private $digest;

	/** @var array<int, array<string, mixed>> digests that wait to be sent */
	private $digests = array();

	/** @var array<int, mixed>|null */
	private $named;

	/** @param array<string, mixed> $params */
	public function __construct(array $params, Budget $budget, Reply $reply) {
		$this->budget = $budget;
		$this->reply  = $reply;
		$this->sender = new Sender($budget, $reply);
		$this->roots  = self::chosen(isset($params['roots']) ? (array) $params['roots'] : array());
		$this->skips  = new Skips(isset($params['skip']) ? (array) $params['skip'] : array(), array_column($this->roots, 'path'));
		$this->cursor = isset($params['cursor']) ? (array) $params['cursor'] : null;
		$this->digest = !empty($params['digest']);
		$this->named  = isset($params['files']) ? array_values((array) $params['files']) : null;
	}

	public function count(): void {
		$result = array('files' => 0, 'bytes' => 0, 'dirs' => 0, 'links' => 0, 'skipped' => array(), 'problems' => array(), 'unlisted' => 0, 'stayed' => array('files' => 0, 'bytes' => 0));
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
		if ($this->named !== null) {
			$this->send_named($this->named);
			return;
		}
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
		$this->tell_digests();
		$this->reply->end($this->sender->stats + array('cursor' => $cursor, 'done' => $cursor === null));
	}

	/** @param array<int, mixed> $named */
	private function send_named(array $named): void {
		if (count($named) > self::MAX_NAMES) {
			throw new Fault('bad_params', 'At most ' . self::MAX_NAMES . ' files can be asked for at once.');
		}
		$cursor = null;
		$begun  = $this->cursor;
		for ($at = isset($begun['at']) ? (int) $begun['at'] : 0; $at < count($named) && $cursor === null; ++$at) {
			$entry = $this->named_entry($named[$at]);
			if ($entry['kind'] === 'problem') {
				$this->sender->problem($entry, $entry['reason']);
			} else {
				$same   = isset($begun['offset']) && $entry['stat']['size'] === $begun['size'] && $entry['stat']['mtime'] === $begun['mtime'];
				$cursor = $this->sender->file($entry, $same ? (int) $begun['offset'] : 0);
			}
			$begun = null;
			if ($cursor !== null) {
				$cursor['at'] = $at;
			} elseif ($at + 1 < count($named) && $this->budget->spent($this->reply->bytes)) {
				$cursor = array('at' => $at + 1);
			}
		}
		$this->reply->end($this->sender->stats + array('cursor' => $cursor, 'done' => $cursor === null));
	}

	/**
	 * What a walk would come to under this name; of kind problem where that is no file.
	 *
	 * @param mixed $named `{root, path_b64}`
	 * @return array<string, mixed>
	 */
	private function named_entry($named): array {
		$id = is_array($named) && isset($named['root']) ? (string) $named['root'] : '';
		if (!isset($this->roots[$id])) {
			throw new Fault('bad_params', 'This request has no root "' . $id . '".');
		}
		$path  = Paths::decoded(isset($named['path_b64']) ? $named['path_b64'] : null);
		$entry = (new Walker($this->roots[$id], $this->skips))->at($path);
		if ($entry === null) {
			$entry = array('kind' => 'problem', 'path' => $path, 'full' => $this->roots[$id]['path'] . '/' . $path, 'reason' => 'vanished');
		}
		return array('root' => $id) + $entry;
	}

	/** @param array<string, mixed> $entry */
	private function digest(array $entry): void {
		$md5             = is_readable($entry['full']) ? @md5_file($entry['full']) : false;
		$this->digests[] = Sender::head($entry) + array(
			'size'  => $entry['stat']['size'],
			'mtime' => $entry['stat']['mtime'],
			'mode'  => $entry['stat']['mode'] & 07777,
			'md5'   => is_string($md5) ? $md5 : null,
		);
		if (count($this->digests) >= self::LIST_LENGTH) {
			$this->tell_digests();
		}
	}

	private function tell_digests(): void {
		if ($this->digests) {
			$this->reply->json('J', array('files' => $this->digests));
			$this->digests = array();
		}
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
		} elseif ($kind === 'skipped' && $this->skips->counts($entry['reason'])) {
			$stat = ($entry['stat']['mode'] & 0170000) === 0120000 ? @stat($entry['full']) : $entry['stat'];
			++$result['stayed']['files'];
			$result['stayed']['bytes'] += is_array($stat) ? $stat['size'] : 0;
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
				if ($this->digest) {
					$this->digest($entry);
					return null;
				}
				return $this->sender->file($entry, 0);
			case 'dir':
				++$this->sender->stats['dirs'];
				$this->reply->json('D', Sender::head($entry) + array('mode' => $entry['stat']['mode'] & 07777, 'mtime' => $entry['stat']['mtime']));
				return null;
			case 'link':
				++$this->sender->stats['links'];
				$this->reply->json('L', Sender::head($entry) + array('target_b64' => base64_encode($entry['target'])));
				return null;
			case 'problem':
				$this->sender->problem($entry, $entry['reason']);
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
			$this->sender->problem($entry, 'vanished');
			return null;
		}
		$same = $stat['size'] === $this->cursor['size'] && $stat['mtime'] === $this->cursor['mtime'];
		return $this->sender->file($entry, $same ? (int) $this->cursor['offset'] : 0)
			?? ($this->budget->spent($this->reply->bytes) ? $this->after($entry) : null);
	}

	/**
	 * @param array<string, mixed> $entry
	 * @return array<string, mixed>
	 */
	private function after(array $entry): array {
		$past = isset($entry['kind']) && $entry['kind'] === 'problem';
		return Sender::head($entry) + array('offset' => null) + ($past ? array('past' => true) : array());
	}

	/** @param array<string, mixed> $cursor */
	private static function path_of(array $cursor): string {
		return Paths::decoded(isset($cursor['path_b64']) ? $cursor['path_b64'] : null, 'bad_cursor');
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
