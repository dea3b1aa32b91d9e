<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * Walks one root in a fixed order: depth first, names sorted by their bytes, a directory before what is in it.
 *
 * Knows any place in that order by its path alone, so a walk continues after a path without repeating what came before.
 * Directories are read in batches of names: memory stays small in a directory of any size.
 *
 * Entries are arrays: kind (dir, file, link, skipped, problem), path (relative to the root), full, stat (dir, file),
 * target (link, relative), reason (skipped: rule id; problem).
 */
final class Walker {

	const BATCH = 10000;

	/** @var string */
	private $root;

	/** @var string[]|null */
	private $only;

	/** @var Skips */
	private $skips;

	/** @var string real path of the root */
	private $real;

	/** @var string[] real paths that symlinks may lead into */
	private $allowed = array();

	/** @var string[] directories whose symlinked children are followed wherever they lead (deployed plugins and themes) */
	private $deploys;

	/** @param array<string, mixed> $root `path`, `only` (names, null = all) */
	public function __construct(array $root, Skips $skips) {
		$bases         = Site::bases();
		$this->root    = $root['path'];
		$this->only    = $root['only'];
		$this->skips   = $skips;
		$this->real    = (string) realpath($root['path']);
		$this->deploys = array($bases['plugins'], $bases['mu-plugins'], $bases['themes']);
		foreach (array_merge(array($root['path']), array_values($bases)) as $dir) {
			$real = realpath($dir);
			if ($real !== false) {
				$this->allowed[] = $real;
			}
		}
	}

	/** @return \Generator<int, array<string, mixed>> */
	public function entries(?string $after, bool $past = false): \Generator {
		$stack = $this->resume($after, $past);
		while ($stack) {
			$frame = array_pop($stack);
			$name  = $this->next($frame);
			if ($name === null) {
				if ($frame['failed']) {
					yield array('kind' => 'problem', 'path' => $frame['path'], 'full' => $frame['full'], 'reason' => 'unreadable');
				}
				continue;
			}
			$stack[] = $frame;
			$entry   = $this->look($frame, $name, $stack);
			if ($entry === null) {
				continue;
			}
			yield $entry;
			if ($entry['kind'] === 'dir') {
				$stack[] = $this->frame($entry['path'], $entry['full'], $entry['real'], '', false);
			}
		}
	}

	/**
	 * The file a walk would come to under this path; null when it would come to none.
	 *
	 * @return array<string, mixed>|null
	 */
	public function at(string $path): ?array {
		$entry = array('kind' => 'dir', 'path' => '', 'full' => $this->root, 'real' => $this->real);
		$stack = array();
		foreach (explode('/', $path) as $name) {
			if ($entry['kind'] !== 'dir') {
				return null;
			}
			$frame   = $this->frame($entry['path'], $entry['full'], $entry['real'], $name, false);
			$stack[] = $frame;
			$entry   = $this->look($frame, $name, $stack);
			if ($entry === null) {
				return null;
			}
		}
		return $entry['kind'] === 'file' ? $entry : null;
	}

	/**
	 * The open directories of a walk that has just passed $after; with $past also all that is in it.
	 *
	 * @return array<int, array<string, mixed>>
	 */
	private function resume(?string $after, bool $past): array {
		if ($after === null || $after === '') {
			return array($this->frame('', $this->root, $this->real, '', false));
		}
		$stack = array();
		$path  = '';
		$full  = $this->root;
		$real  = $this->real;
		foreach (explode('/', $after) as $name) {
			$frame   = $this->frame($path, $full, $real, $name, false);
			$stack[] = $frame;
			$entry   = $this->look($frame, $name, $stack);
			if ($entry === null || $entry['kind'] !== 'dir') {
				return $stack;
			}
			$path = $entry['path'];
			$full = $entry['full'];
			$real = $entry['real'];
		}
		if (!$past) {
			$stack[] = $this->frame($path, $full, $real, '', false);
		}
		return $stack;
	}

	/** @return array<string, mixed> */
	private function frame(string $path, string $full, string $real, string $last, bool $failed): array {
		return array(
			'path' => $path, 'full' => $full, 'real' => $real, 'last' => $last,
			'names' => array(), 'at' => 0, 'more' => true, 'failed' => $failed,
		);
	}

	/** @param array<string, mixed> $frame */
	private function next(array &$frame): ?string {
		if (!isset($frame['names'][$frame['at']]) && $frame['more']) {
			$this->read($frame);
		}
		if (!isset($frame['names'][$frame['at']])) {
			return null;
		}
		$frame['last'] = $frame['names'][$frame['at']];
		++$frame['at'];
		return $frame['last'];
	}

	/**
	 * The next names after the last one, smallest first. A directory larger than a batch is read once per batch.
	 *
	 * @param array<string, mixed> $frame
	 */
	private function read(array &$frame): void {
		$last   = $frame['last'];
		$names  = array();
		$cut    = false;
		$handle = @opendir($frame['full']);
		if ($handle === false) {
			$frame['failed'] = $last === '';
			$frame['more']   = false;
			return;
		}
		while (($name = readdir($handle)) !== false) {
			if ($name === '.' || $name === '..' || ($last !== '' && strcmp($name, $last) <= 0)) {
				continue;
			}
			$names[] = $name;
			if (isset($names[2 * self::BATCH])) {
				sort($names, SORT_STRING);
				$names = array_slice($names, 0, self::BATCH);
				$cut   = true;
			}
		}
		closedir($handle);
		sort($names, SORT_STRING);
		if (isset($names[self::BATCH])) {
			$names = array_slice($names, 0, self::BATCH);
			$cut   = true;
		}
		$frame['names'] = $names;
		$frame['at']    = 0;
		$frame['more']  = $cut;
	}

	/**
	 * What a name is; null when it has vanished or is not part of this root.
	 *
	 * @param array<string, mixed> $frame
	 * @param array<int, array<string, mixed>> $stack
	 * @return array<string, mixed>|null
	 */
	private function look(array $frame, string $name, array $stack): ?array {
		if ($frame['path'] === '' && $this->only !== null && !in_array($name, $this->only, true)) {
			return null;
		}
		$full = $frame['full'] . '/' . $name;
		$path = $frame['path'] === '' ? $name : $frame['path'] . '/' . $name;
		$stat = @lstat($full);
		if ($stat === false) {
			return null;
		}
		$type   = $stat['mode'] & 0170000;
		$is_dir = $type === 0040000 || ($type === 0120000 && is_dir($full));
		$entry  = array('kind' => 'file', 'path' => $path, 'full' => $full, 'stat' => $stat);
		$rule   = $this->skips->match($full, $name, $is_dir);
		if ($rule === null && $is_dir && $this->other_install($full, $path)) {
			$rule = 'other-install';
		}
		if ($rule !== null) {
			return array('kind' => 'skipped', 'reason' => $rule) + $entry;
		}
		if ($type === 0120000) {
			return $this->link($entry, $frame, $name, $stack);
		}
		if ($type === 0040000) {
			return array('kind' => 'dir', 'real' => $frame['real'] . '/' . $name) + $entry;
		}
		if ($type !== 0100000) {
			$kinds = array(0140000 => 'socket', 0010000 => 'fifo', 0020000 => 'device', 0060000 => 'device');
			return array('kind' => 'problem', 'reason' => isset($kinds[$type]) ? $kinds[$type] : 'special') + $entry;
		}
		return $entry;
	}

	/**
	 * Links inside the root stay links; links into the site's other directories are followed; the rest is reported.
	 *
	 * @param array<string, mixed> $entry
	 * @param array<string, mixed> $frame
	 * @param array<int, array<string, mixed>> $stack
	 * @return array<string, mixed>|null
	 */
	private function link(array $entry, array $frame, string $name, array $stack): ?array {
		$raw    = (string) @readlink($entry['full']);
		$target = realpath($entry['full']);
		if ($target === false) {
			return array('kind' => 'problem', 'reason' => self::broken($entry['full'])) + $entry;
		}
		foreach ($stack as $open) {
			if (is_dir($target) && strpos($open['real'] . '/', rtrim($target, '/') . '/') === 0) {
				return array('kind' => 'problem', 'reason' => 'symlink_loop') + $entry;
			}
		}
		if (strpos($target . '/', rtrim($this->real, '/') . '/') === 0) {
			$inside   = strpos($frame['real'] . '/', rtrim($this->real, '/') . '/') === 0;
			$relative = $raw !== '' && $raw[0] !== '/' && $inside;
			$to       = ltrim(substr($target, strlen($this->real)), '/');
			return array('kind' => 'link', 'target' => $relative ? $raw : self::relative($frame['path'], $to)) + $entry;
		}
		$follow = in_array($frame['full'], $this->deploys, true);
		foreach ($this->allowed as $dir) {
			$follow = $follow || strpos($target . '/', $dir . '/') === 0;
		}
		$stat = $follow ? @stat($entry['full']) : false;
		if ($stat === false) {
			return array('kind' => 'problem', 'reason' => 'symlink_outside') + $entry;
		}
		$entry['stat'] = $stat;
		return is_dir($target) ? array('kind' => 'dir', 'real' => $target) + $entry : $entry;
	}

	/** Another WordPress in a directory of this one is a site of its own. */
	private function other_install(string $full, string $path): bool {
		return substr_count($path, '/') < 2
			&& is_file($full . '/wp-includes/version.php')
			&& realpath($full) !== realpath(ABSPATH);
	}

	/** Why a link leads nowhere. */
	private static function broken(string $full): string {
		for ($hops = 0; $hops < 40; $hops++) {
			$raw = @readlink($full);
			if ($raw === false) {
				return 'symlink_broken';
			}
			$full = $raw !== '' && $raw[0] === '/' ? $raw : dirname($full) . '/' . $raw;
		}
		return 'symlink_loop';
	}

	private static function relative(string $from, string $to): string {
		$a = $from === '' ? array() : explode('/', $from);
		$b = $to === '' ? array() : explode('/', $to);
		while ($a && $b && $a[0] === $b[0]) {
			array_shift($a);
			array_shift($b);
		}
		$path = str_repeat('../', count($a)) . implode('/', $b);
		return $path === '' ? '.' : rtrim($path, '/');
	}
}
