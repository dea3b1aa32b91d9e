<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Names of files as restores use them: a base (a directory of WordPress) and a path below it. */
final class Paths {

	/** The only directories files are ever written to; core and the document root never are. */
	const BASES = array('content', 'plugins', 'mu-plugins', 'themes', 'uploads');

	/** A path below a directory from its base64 form. Never one that leads out of it. */
	public static function decoded($path_b64, string $fault = 'bad_params'): string {
		$path = is_string($path_b64) ? base64_decode($path_b64, true) : false;
		if (!is_string($path) || strpos($path, "\0") !== false || preg_match('#(^|/)\.{0,2}(/|\z)#', $path)) {
			throw new Fault($fault, $fault === 'bad_cursor' ? 'The cursor can not be read.' : 'A path can not be read.');
		}
		return $path;
	}

	/** @return array<string, string> base => its directory */
	public static function bases(): array {
		return array_intersect_key(Site::bases(), array_fill_keys(self::BASES, true));
	}

	/**
	 * Directories of other bases that lie inside this one: their files are named by them.
	 *
	 * @param array<string, string> $bases
	 * @return string[]
	 */
	public static function inner(array $bases, string $base): array {
		$inner = array();
		foreach ($bases as $name => $dir) {
			if ($name !== $base && strpos($dir, $bases[$base] . '/') === 0) {
				$inner[] = $dir;
			}
		}
		return $inner;
	}

	/**
	 * @param mixed $file `{base, path_b64}`
	 * @param array<string, string> $bases
	 * @return array{0: string, 1: string, 2: string} base, path and full path
	 */
	public static function named($file, array $bases): array {
		$base = is_array($file) && isset($file['base']) ? (string) $file['base'] : '';
		if (!isset($bases[$base])) {
			throw new Fault('bad_params', 'There is no base "' . $base . '".');
		}
		$path = self::decoded(isset($file['path_b64']) ? $file['path_b64'] : null);
		$full = $bases[$base] . '/' . $path;
		foreach (self::inner($bases, $base) as $dir) {
			if (strpos($full . '/', $dir . '/') === 0) {
				throw new Fault('bad_params', 'A file has to be named by the base that is nearest to it.');
			}
		}
		return array($base, $path, $full);
	}

	/** Whether this is the connector's own directory, or what restores keep on the site. */
	public static function reserved(string $full): bool {
		$content = Site::clean(WP_CONTENT_DIR) . '/siteferry-';
		$own     = Site::clean(dirname(SITEFERRY_CONNECTOR_FILE)) . '/';
		return strpos($full . '/', $own) === 0 || strpos($full, $content) === 0;
	}
}
