<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** `stage.files`: files into the restore's directory, whole or chunk by chunk. Nothing the site uses is touched. */
final class StagedFiles {

	/** @var Manifest */
	private $manifest;

	/** @var array<string, string> */
	private $bases;

	/** @var array<string, mixed> */
	private $params;

	/** @param array<string, mixed> $params restore, have, puts */
	public function __construct(array $params) {
		$this->params   = $params;
		$this->manifest = Manifest::of($params);
		Staging::open($this->manifest);
		$this->bases = $this->manifest->bases();
	}

	/** @return array{have: bool[], bytes: int} `have`: per asked file, whether it is staged already */
	public function run(): array {
		$have  = array();
		$bytes = 0;
		foreach (isset($this->params['have']) ? (array) $this->params['have'] : array() as $file) {
			list($base, $path) = Paths::named($file, $this->bases);
			$staged            = $this->manifest->fresh($base, $path);
			$have[]            = is_file($staged) && filesize($staged) === $file['size'] && md5_file($staged) === $file['md5'];
		}
		foreach (isset($this->params['puts']) ? (array) $this->params['puts'] : array() as $put) {
			$bytes += $this->put((array) $put);
		}
		return array('have' => $have, 'bytes' => $bytes);
	}

	/** @param array<string, mixed> $put base, path_b64, offset, data_b64, and with the last chunk: last, size, mode, mtime, md5 */
	private function put(array $put): int {
		list($base, $path, $full) = Paths::named($put, $this->bases);
		self::allowed($full, $this->bases[$base]);
		$data   = base64_decode((string) $put['data_b64'], true);
		$offset = (int) $put['offset'];
		$part   = $this->manifest->dir . '/part/' . sha1($base . '/' . $path);
		if (!is_string($data)) {
			throw new Fault('bad_params', 'The bytes of a file can not be read.');
		}
		Disk::directory(dirname($part));
		$handle = @fopen($part, $offset === 0 ? 'wb' : 'r+b');
		if ($handle === false && $offset > 0) {
			throw new Fault('stage_lost', 'The beginning of a file is not there.');
		}
		if ($handle === false) {
			throw Disk::fault($part);
		}
		$stat = (array) fstat($handle);
		if ($stat['size'] < $offset) {
			fclose($handle);
			throw new Fault('stage_lost', 'The beginning of a file is not there.');
		}
		ftruncate($handle, $offset);
		fseek($handle, $offset);
		$done = @fwrite($handle, $data) === strlen($data) && fflush($handle);
		fclose($handle);
		if (!$done) {
			throw Disk::fault($part, true);
		}
		if (!empty($put['last'])) {
			$this->finish($part, $put, $full, $this->manifest->fresh($base, $path));
		}
		return strlen($data);
	}

	/** @param array<string, mixed> $put */
	private function finish(string $part, array $put, string $live, string $staged): void {
		clearstatcache(true, $part);
		if (filesize($part) !== (int) $put['size'] || md5_file($part) !== $put['md5']) {
			@unlink($part);
			throw new Fault('damaged_file', 'A file arrived damaged.'); // temporary: it is sent again
		}
		@chmod($part, self::mode($live));
		@touch($part, (int) $put['mtime']);
		Disk::directory(dirname($staged));
		if (!@rename($part, $staged)) {
			throw Disk::fault($staged);
		}
	}

	/** The mode of the file that will be replaced; a new one gets that of a file in its directory, else what WordPress would give. */
	private static function mode(string $live): int {
		if (is_file($live)) {
			return (int) fileperms($live) & 07777;
		}
		$names = @scandir(dirname($live));
		foreach (is_array($names) ? $names : array() as $name) {
			if (is_file(dirname($live) . '/' . $name) && $name[0] !== '.') {
				return (int) fileperms(dirname($live) . '/' . $name) & 0666;
			}
		}
		if (defined('FS_CHMOD_FILE')) {
			return (int) FS_CHMOD_FILE;
		}
		return (int) fileperms(ABSPATH . 'index.php') & 0666 | 0600;
	}

	/** Whether a file can come to lie there: not on a directory, not below a file, and we may write there. */
	public static function allowed(string $full, string $base): void {
		if (Paths::reserved($full)) {
			throw new Fault('bad_params', 'This place is the connector\'s own.');
		}
		$shown = str_replace(Site::clean(ABSPATH) . '/', '', $full);
		if (is_dir($full) && !is_link($full)) {
			throw new Fault('target_path_conflict', $shown . ' is a directory here.', 400, array('file' => $shown));
		}
		$dir = dirname($full);
		while (!file_exists($dir) && strlen($dir) > strlen($base)) {
			$dir = dirname($dir);
		}
		if (file_exists($dir) && !is_dir($dir)) {
			throw new Fault('target_path_conflict', $shown . ' would have to lie below a file.', 400, array('file' => $shown));
		}
		while (!file_exists($dir)) {
			$dir = dirname($dir);
		}
		if (!is_writable($dir)) {
			throw new Fault('target_read_only', $shown . ' can not be written.', 400, array('file' => $shown));
		}
	}
}
