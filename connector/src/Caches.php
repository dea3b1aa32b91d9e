<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/**
 * Pages that cache plugins have written to disk: after an exchange they show the site as it was. The plugins themselves can
 * not be asked, for we answer before they are loaded; their directories are of pages only, and are written anew.
 */
final class Caches {

	/** Below wp-content. Directories of stylesheets and scripts are not here: pages name them. */
	const DIRECTORIES = array(
		'cache/supercache', 'cache/wp-rocket', 'cache/page_enhanced', 'cache/object', 'cache/db', 'cache/dbcache', 'cache/objectcache',
		'cache/all', 'cache/wpfc-mobile-cache', 'cache/cache-enabler', 'cache/breeze', 'cache/comet-cache', 'cache/zencache',
		'cache/powered-cache', 'cache/swift-performance', 'cache/hyper-cache', 'cache/wpo-cache', 'cache/flying-press',
		'cache/seraphinite-accelerator', 'cache/sgo-cache', 'cache/borlabs-cache', 'cache/surge', 'cache/wp-cloudflare-super-page-cache',
		'cache/speedycache', 'cache/batcache', 'wphb-cache/cache', 'wp-cloudflare-super-page-cache',
	);

	/** Put aside in one step each, then deleted: whoever asks meanwhile gets a new page. Never fails. */
	public static function clear(): void {
		$content = Site::clean(WP_CONTENT_DIR);
		foreach (self::DIRECTORIES as $name) {
			$dir = $content . '/' . $name;
			if (is_link($dir) || !is_dir($dir)) {
				continue;
			}
			$aside = dirname($dir) . '/siteferry-old-' . bin2hex(random_bytes(4));
			if (@rename($dir, $aside)) {
				@mkdir($dir, (int) @fileperms($aside) & 0777);
				Disk::remove($aside);
			}
		}
	}
}
