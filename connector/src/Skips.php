<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * Which paths stay behind. The rules come with the request: `{"id", "base", "glob", "kind"?}`.
 *
 * `base` is `any` (the glob is matched against the name, at any depth), `root` (relative to every root) or one of
 * Site::bases(). `*` and `?` are allowed in the last component only and never match `/`. `kind` is `file` or `dir`.
 * Two stars, a slash and `*.jpg`: every file below the base whose name ends so, in letters of any size: they are counted, not listed.
 */
final class Skips {

	/** @var array<string, array{0: string, 1: string}> exact absolute path => [rule id, kind] */
	private $paths = array();

	/** @var array<string, array<int, array{0: string, 1: string, 2: string}>> parent directory => [[regex, rule id, kind]] */
	private $globs = array();

	/** @var array<string, array{0: string, 1: string}> name => [rule id, kind] */
	private $names = array();

	/** @var array<int, array{0: string, 1: string, 2: string}> */
	private $name_globs = array();

	/** @var array<string, array<string, string>> directory with a slash at its end => [extension => rule id] */
	private $ends = array();

	/**
	 * @param array<int, array<string, string>> $rules
	 * @param string[] $roots
	 */
	public function __construct(array $rules, array $roots) {
		$bases = Site::bases();
		// Never leaves this site, whatever the rules say: the connector with its key, and what restores keep here.
		$this->leave_out($bases['connector'], 'connector');
		$this->path($bases['content'] . '/siteferry-*', 'snapshot', 'dir');
		foreach ($rules as $rule) {
			$base = isset($rule['base']) ? (string) $rule['base'] : 'any';
			$kind = isset($rule['kind']) ? (string) $rule['kind'] : '';
			if ($base === 'any') {
				$this->name((string) $rule['glob'], (string) $rule['id'], $kind);
				continue;
			}
			$dirs = $base === 'root' ? $roots : (isset($bases[$base]) ? array($bases[$base]) : array());
			foreach ($dirs as $dir) {
				if (preg_match('#^\*\*/\*\.([a-z0-9]+)$#D', (string) $rule['glob'], $end)) {
					$this->ends[rtrim($dir, '/') . '/'][$end[1]] = (string) $rule['id'];
					continue;
				}
				$this->path(rtrim($dir, '/') . '/' . trim((string) $rule['glob'], '/'), (string) $rule['id'], $kind);
			}
		}
	}

	/** One more path that stays behind. */
	public function leave_out(string $full, string $id): void {
		$this->paths[$full] = array($id, '');
	}

	/** The id of the rule that keeps this entry back, or null. */
	public function match(string $full, string $name, bool $is_dir): ?string {
		$kind = $is_dir ? 'dir' : 'file';
		if (isset($this->paths[$full]) && ($this->paths[$full][1] === '' || $this->paths[$full][1] === $kind)) {
			return $this->paths[$full][0];
		}
		if (isset($this->names[$name]) && ($this->names[$name][1] === '' || $this->names[$name][1] === $kind)) {
			return $this->names[$name][0];
		}
		foreach ($this->name_globs as $glob) {
			if (($glob[2] === '' || $glob[2] === $kind) && preg_match($glob[0], $name)) {
				return $glob[1];
			}
		}
		if ($this->globs) {
			$dir = substr($full, 0, -strlen($name) - 1);
			foreach (isset($this->globs[$dir]) ? $this->globs[$dir] : array() as $glob) {
				if (($glob[2] === '' || $glob[2] === $kind) && preg_match($glob[0], $name)) {
					return $glob[1];
				}
			}
		}
		return $is_dir ? null : $this->by_end($full, $name);
	}

	/** Whether a rule keeps back so many entries that they are counted only. */
	public function counts(string $id): bool {
		foreach ($this->ends as $ends) {
			if (in_array($id, $ends, true)) {
				return true;
			}
		}
		return false;
	}

	private function by_end(string $full, string $name): ?string {
		$dot = strrpos($name, '.');
		if (!$dot) {
			return null;
		}
		$end = strtolower(substr($name, $dot + 1));
		foreach ($this->ends as $dir => $ends) {
			if (isset($ends[$end]) && strncmp($full, $dir, strlen($dir)) === 0) {
				return $ends[$end];
			}
		}
		return null;
	}

	private function name(string $glob, string $id, string $kind): void {
		if (strpbrk($glob, '*?') === false) {
			$this->names[$glob] = array($id, $kind);
		} else {
			$this->name_globs[] = array(self::regex($glob), $id, $kind);
		}
	}

	private function path(string $path, string $id, string $kind): void {
		$cut  = (int) strrpos($path, '/');
		$name = substr($path, $cut + 1);
		if (strpbrk($name, '*?') === false) {
			$this->paths[$path] = array($id, $kind);
		} else {
			$this->globs[substr($path, 0, $cut)][] = array(self::regex($name), $id, $kind);
		}
	}

	private static function regex(string $glob): string {
		return '#^' . strtr(preg_quote($glob, '#'), array('\*' => '[^/]*', '\?' => '[^/]')) . '$#sD';
	}
}
