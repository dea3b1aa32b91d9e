<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * `files.digest`: size, time, mode and MD5 of every file below some bases, in the walk's order, in lists of a few hundred.
 *
 * The cursor is `{base, path_b64, past?}`: everything up to and including the path is done. Each list carries its own.
 */
final class FileDigest {

	const LIST_LENGTH = 400;

	/** @var array<string, string> */
	private $bases;

	/** @var array<int, string> */
	private $wanted;

	/** @var array<int, mixed> */
	private $rules;

	/** @var array<string, mixed>|null */
	private $cursor;

	/** @var Budget */
	private $budget;

	/** @var Reply */
	private $reply;

	/** @param array<string, mixed> $params */
	public function __construct(array $params, Budget $budget, Reply $reply) {
		$this->budget = $budget;
		$this->reply  = $reply;
		$this->bases  = Paths::bases();
		$this->rules  = isset($params['skip']) ? (array) $params['skip'] : array();
		$this->cursor = isset($params['cursor']) ? (array) $params['cursor'] : null;
		$this->wanted = array_map('strval', isset($params['bases']) ? (array) $params['bases'] : Paths::BASES);
		foreach ($this->wanted as $base) {
			if (!isset($this->bases[$base])) {
				throw new Fault('bad_params', 'There is no base "' . $base . '".');
			}
		}
	}

	public function run(): void {
		$files  = array();
		$links  = array();
		$cursor = null;
		foreach ($this->walk() as $base => $entry) {
			if ($entry['kind'] === 'file') {
				$files[] = self::file($base, $entry);
			} elseif ($entry['kind'] === 'link') {
				$links[] = self::head($base, $entry) + array('target_b64' => base64_encode($entry['target']));
			}
			$place = self::head($base, $entry) + ($entry['kind'] === 'problem' ? array('past' => true) : array());
			$spent = $this->budget->spent($this->reply->bytes);
			if ($spent || count($files) + count($links) >= self::LIST_LENGTH) {
				$this->reply->json('J', array('files' => $files, 'links' => $links, 'cursor' => $place));
				$files = array();
				$links = array();
			}
			if ($spent) {
				$cursor = $place;
				break;
			}
		}
		if ($files || $links) {
			$this->reply->json('J', array('files' => $files, 'links' => $links, 'cursor' => null));
		}
		$this->reply->end(array('cursor' => $cursor, 'done' => $cursor === null));
	}

	/** @return \Generator<string, array<string, mixed>> */
	private function walk(): \Generator {
		$waiting = $this->cursor !== null && isset($this->cursor['base']) ? (string) $this->cursor['base'] : null;
		foreach ($this->wanted as $base) {
			$after = null;
			$past  = false;
			if ($waiting !== null) {
				if ($waiting !== $base) {
					continue;
				}
				$after   = Paths::decoded(isset($this->cursor['path_b64']) ? $this->cursor['path_b64'] : null, 'bad_cursor');
				$past    = !empty($this->cursor['past']);
				$waiting = null;
			}
			if (!is_dir($this->bases[$base])) {
				continue;
			}
			$skips = new Skips($this->rules, array($this->bases[$base]));
			foreach (Paths::inner($this->bases, $base) as $dir) {
				$skips->leave_out($dir, 'base');
			}
			foreach ((new Walker(array('path' => $this->bases[$base], 'only' => null), $skips))->entries($after, $past) as $entry) {
				yield $base => $entry;
			}
		}
		if ($waiting !== null) {
			throw new Fault('bad_cursor', 'The cursor names a directory that is not part of this request.');
		}
	}

	/**
	 * @param array<string, mixed> $entry
	 * @return array<string, mixed>
	 */
	private static function file(string $base, array $entry): array {
		$md5 = is_readable($entry['full']) ? @md5_file($entry['full']) : false;
		return self::head($base, $entry) + array(
			'size'  => $entry['stat']['size'],
			'mtime' => $entry['stat']['mtime'],
			'mode'  => $entry['stat']['mode'] & 07777,
			'md5'   => is_string($md5) ? $md5 : null,
		);
	}

	/**
	 * @param array<string, mixed> $entry
	 * @return array{base: string, path_b64: string}
	 */
	private static function head(string $base, array $entry): array {
		return array('base' => $base, 'path_b64' => base64_encode($entry['path']));
	}
}
