<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Takes the connector off the site: out of the active plugins, then its directory. */
final class Removal {

	/** On admin and cron requests: a connector whose time is up leaves by itself. */
	public static function when_expired(): void {
		$key = Key::load();
		if ($key !== null && $key['expires'] > 0 && $key['expires'] < time() && !is_file(dirname(SITEFERRY_CONNECTOR_FILE) . '/journal')) {
			self::now();
		}
	}

	/**
	 * The package we came in: WordPress keeps it among the uploads for two hours when the request that installs is broken
	 * off, and our key is in it.
	 */
	public static function package(): void {
		global $wpdb;
		foreach (glob(WP_CONTENT_DIR . '/upgrade/siteferry-connector*', GLOB_NOSORT) ?: array() as $half) {
			Disk::remove($half); // WordPress was broken off while it unpacked
		}
		$like = $wpdb->esc_like('siteferry-connector') . '%';
		$ids  = $wpdb->get_col($wpdb->prepare("SELECT ID FROM $wpdb->posts WHERE post_type = 'attachment' AND post_title LIKE %s", $like));
		foreach (array_map('intval', $ids) as $id) {
			if (get_post_meta($id, '_wp_attachment_context', true) === 'upgrader') {
				wp_delete_attachment($id, true);
				wp_clear_scheduled_hook('upgrader_scheduled_cleanup', array($id));
			}
		}
	}

	/** @return array{removed: bool, left: string[]} what could not be deleted, as paths inside the plugin's directory */
	public static function now(): array {
		$plugin = plugin_basename(SITEFERRY_CONNECTOR_FILE);
		self::package();
		self::deactivate($plugin);
		$dir  = dirname(SITEFERRY_CONNECTOR_FILE);
		$left = array();
		if (strpos($plugin, '/') !== false && is_file($dir . '/siteferry-connector.php')) {
			class_exists(Reply::class); // needed after its file is gone
			self::delete($dir, '', $left);
		} else {
			$left[] = basename(SITEFERRY_CONNECTOR_FILE); // copied loose into plugins/: we do not delete what is around it
		}
		return array('removed' => !$left, 'left' => $left);
	}

	private static function deactivate(string $plugin): void {
		$active = get_option('active_plugins', array());
		if (is_array($active) && in_array($plugin, $active, true)) {
			update_option('active_plugins', array_values(array_diff($active, array($plugin))));
		}
		if (is_multisite()) {
			$network = get_site_option('active_sitewide_plugins', array());
			if (is_array($network) && isset($network[$plugin])) {
				unset($network[$plugin]);
				update_site_option('active_sitewide_plugins', $network);
			}
		}
	}

	/** @param string[] $left */
	private static function delete(string $dir, string $below, array &$left): void {
		$names = @scandir($dir);
		$names = is_array($names) ? $names : array();
		// The key first, the main file last: broken off, this stays a plugin that WordPress lists and can delete.
		usort($names, static function ($a, $b) {
			$last = array('key.php' => -1, 'siteferry-connector.php' => 1);
			return (isset($last[$a]) ? $last[$a] : 0) - (isset($last[$b]) ? $last[$b] : 0);
		});
		foreach ($names as $name) {
			if ($name === '.' || $name === '..') {
				continue;
			}
			$path = $dir . '/' . $name;
			if (is_dir($path) && !is_link($path)) {
				self::delete($path, $below . $name . '/', $left);
			} elseif (!@unlink($path)) {
				$left[] = $below . $name;
			} elseif (function_exists('opcache_invalidate') && substr($name, -4) === '.php') {
				@opcache_invalidate($path, true);
			}
		}
		if (!@rmdir($dir) && !$left) {
			$left[] = $below === '' ? './' : $below;
		}
	}
}
