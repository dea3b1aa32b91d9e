<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * What a restore keeps on this site: its directory `WP_CONTENT_DIR/siteferry-<token>/<restore>/` with what is staged
 * (`new/`), what was replaced (`old/`), and the journal that says how far the exchange is.
 *
 * The journal is replaced in one step, so it is whole whenever it is read; `lock` in the same directory says who works.
 */
final class Manifest {

	const FILE = 'manifest.json.php';
	const HEAD = "<?php exit; ?>\n";

	/** @var string */
	public $restore;

	/** @var string */
	public $dir;

	/** @var array<string, mixed> state, created, bases, tables (by number), swap, done */
	public $data;

	/** @var resource|null */
	private $lock = null;

	private function __construct(string $restore, string $dir) {
		$this->restore = $restore;
		$this->dir     = $dir;
	}

	public static function find(string $restore): ?self {
		if (!preg_match('/^[A-Za-z0-9_-]{1,64}$/D', $restore)) {
			throw new Fault('bad_params', 'A restore needs a name of letters, digits, - and _.');
		}
		foreach (self::homes() as $home) {
			$manifest = self::at($home . '/' . $restore);
			if ($manifest !== null) {
				return $manifest;
			}
		}
		return null;
	}

	/** @param array<string, mixed> $params `restore` */
	public static function of(array $params): self {
		$manifest = self::find(self::name($params));
		if ($manifest === null) {
			throw new Fault('stage_lost', 'This restore has left nothing on this site.');
		}
		return $manifest;
	}

	/** @return self[] */
	public static function all(): array {
		$all = array();
		foreach (self::homes() as $home) {
			$names = @scandir($home);
			foreach (is_array($names) ? $names : array() as $name) {
				$manifest = $name[0] === '.' ? null : self::at($home . '/' . $name);
				if ($manifest !== null) {
					$all[] = $manifest;
				}
			}
		}
		return $all;
	}

	public static function at(string $dir): ?self {
		$text = @file_get_contents($dir . '/' . self::FILE);
		$data = is_string($text) ? json_decode(substr($text, strlen(self::HEAD)), true) : null;
		if (!is_array($data) || !isset($data['restore'], $data['state'])) {
			return null;
		}
		$manifest       = new self((string) $data['restore'], $dir);
		$manifest->data = $data;
		return $manifest;
	}

	/** @param array<string, mixed> $params */
	public static function make(array $params): self {
		$restore = self::name($params);
		$found   = self::find($restore);
		if ($found !== null) {
			return $found;
		}
		$homes    = self::homes();
		$home     = $homes ? $homes[0] : Site::clean(WP_CONTENT_DIR) . '/siteferry-' . bin2hex(random_bytes(16));
		$manifest = new self($restore, $home . '/' . $restore);
		Disk::directory($manifest->dir);
		Disk::put($home . '/index.php', "<?php\n");
		Disk::put($home . '/.htaccess', "Require all denied\n<IfModule !mod_authz_core.c>\nDeny from all\n</IfModule>\n");
		$manifest->data = array(
			'version' => 1,
			'restore' => $restore,
			'state'   => 'staged',
			'created' => time(),
			'bases'   => array_map('base64_encode', Paths::bases()),
			'tables'  => array(),
		);
		$manifest->save();
		return $manifest;
	}

	public function save(): void {
		$text = self::HEAD . json_encode($this->data, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE);
		Disk::put($this->dir . '/' . self::FILE, $text, true);
	}

	/** Says the new state, for good: what follows may be interrupted anywhere. */
	public function enter(string $state): void {
		$this->data['state'] = $state;
		$this->save();
	}

	public function state(): string {
		return (string) $this->data['state'];
	}

	/** Only one request works on a restore at a time. The server lets go of a lock when its process dies. */
	public function lock(float $wait): bool {
		$handle = @fopen($this->dir . '/lock', 'c');
		if ($handle === false) {
			return false;
		}
		$until = microtime(true) + $wait;
		while (!flock($handle, LOCK_EX | LOCK_NB)) {
			if (microtime(true) >= $until) {
				fclose($handle);
				return false;
			}
			usleep(50000);
		}
		$this->lock = $handle;
		$now        = self::at($this->dir);
		if ($now === null) {
			$this->unlock();
			return false;
		}
		$this->data = $now->data;
		return true;
	}

	public function must_lock(): void {
		if (!$this->lock(20.0)) {
			throw new Fault('target_busy', 'Another request works on this restore.');
		}
	}

	public function unlock(): void {
		if ($this->lock !== null) {
			flock($this->lock, LOCK_UN);
			fclose($this->lock);
			$this->lock = null;
		}
	}

	/** @return array<string, string> base => directory, as they were when the restore began */
	public function bases(): array {
		return array_map('base64_decode', (array) $this->data['bases']);
	}

	public function fresh(string $base, string $path): string {
		return $this->dir . '/new/' . $base . '/' . $path;
	}

	public function kept(string $base, string $path): string {
		return $this->dir . '/old/' . $base . '/' . $path;
	}

	public function staged(int $n): string {
		return Names::staged($this->restore, $n);
	}

	public function old(int $n): string {
		return Names::old($this->restore, $n);
	}

	/** @param mixed $n @return array<string, mixed> */
	public function table($n): array {
		if (!is_int($n) || !isset($this->data['tables'][$n])) {
			throw new Fault('bad_params', 'This restore has no table of that number.');
		}
		return $this->data['tables'][$n];
	}

	/** The directory and, when nothing else is kept beside it, its home. */
	public function destroy(): void {
		Disk::remove($this->dir);
		$home = dirname($this->dir);
		$left = @scandir($home);
		if (is_array($left) && !array_diff($left, array('.', '..', 'index.php', '.htaccess'))) {
			Disk::remove($home);
		}
	}

	/** @return string[] */
	private static function homes(): array {
		$content = Site::clean(WP_CONTENT_DIR);
		$names   = @scandir($content);
		$homes   = array();
		foreach (is_array($names) ? $names : array() as $name) {
			if (preg_match('/^siteferry-[0-9a-f]{32}$/D', $name) && is_dir($content . '/' . $name)) {
				$homes[] = $content . '/' . $name;
			}
		}
		return $homes;
	}

	/** @param array<string, mixed> $params */
	private static function name(array $params): string {
		return isset($params['restore']) ? (string) $params['restore'] : '';
	}
}
