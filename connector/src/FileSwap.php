<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * The files of a swap, one after the other, there and back. Every step may be repeated and broken off anywhere: what is in
 * `new/` and `old/` says how far it came. A file that is replaced is never missing for a moment.
 */
final class FileSwap {

	/** @var Manifest */
	private $manifest;

	/** @var array<string, string> */
	private $bases;

	public function __construct(Manifest $manifest) {
		$this->manifest = $manifest;
		$this->bases    = $manifest->bases();
		clearstatcache();
	}

	/** Everything is in its place and may be written, or else an error before anything is touched. */
	public function check(): void {
		foreach ($this->each() as list($base, $path, $full, $action)) {
			StagedFiles::allowed($full, $this->bases[$base]);
			if ($action === 'put' && !is_file($this->manifest->fresh($base, $path))) {
				throw new Fault('stage_lost', 'A staged file is no longer there.', 400, array('file' => $base . '/' . $path));
			}
		}
	}

	public function forward(): void {
		foreach ($this->each() as list($base, $path, $full, $action)) {
			$new   = $this->manifest->fresh($base, $path);
			$old   = $this->manifest->kept($base, $path);
			$there = self::exists($full);
			if ($action === 'put' && self::exists($new)) {
				if ($there && !self::exists($old)) {
					Disk::twin($full, $old);
				}
				Disk::move($new, $full);
			} elseif ($action === 'remove' && $there) {
				if (!self::exists($old)) {
					Disk::twin($full, $old);
				}
				@unlink($full);
			}
		}
	}

	public function back(): void {
		foreach ($this->each() as list($base, $path, $full, $action)) {
			$new = $this->manifest->fresh($base, $path);
			$old = $this->manifest->kept($base, $path);
			if (self::exists($old)) {
				if (self::exists($full) && !self::exists($new)) {
					Disk::twin($full, $new);
				}
				Disk::move($old, $full);
			} elseif ($action === 'put' && self::exists($full) && !self::exists($new) && $this->added($base, $path)) {
				Disk::move($full, $new);
			}
		}
	}

	/** Afterwards: compiled code is forgotten, directories that became empty go. */
	public function settle(): void {
		foreach ($this->each() as list($base, $path, $full)) {
			if (substr($path, -4) === '.php' && function_exists('opcache_invalidate')) {
				@opcache_invalidate($full, true);
			}
			if (!self::exists($full)) {
				Disk::prune(dirname($full), $this->bases[$base]);
			}
		}
		clearstatcache(true);
	}

	/** Whether the swap brought this file where none was: it says so itself, for `old/` can not. */
	private function added(string $base, string $path): bool {
		return isset($this->manifest->data['swap']['added'][$base . '/' . base64_encode($path)]);
	}

	/** Writes down which files are new here. @return array<string, int> */
	public function additions(): array {
		$added = array();
		foreach ($this->each() as list($base, $path, $full, $action)) {
			if ($action === 'put' && !self::exists($full)) {
				$added[$base . '/' . base64_encode($path)] = 1;
			}
		}
		return $added;
	}

	/** @return \Generator<int, array{0: string, 1: string, 2: string, 3: string}> base, path, full path, action */
	private function each(): \Generator {
		foreach ($this->manifest->data['swap']['files'] as $file) {
			list($base, $path, $full) = Paths::named($file, $this->bases);
			yield array($base, $path, $full, (string) $file['action']);
		}
	}

	private static function exists(string $path): bool {
		return is_link($path) || file_exists($path);
	}
}
