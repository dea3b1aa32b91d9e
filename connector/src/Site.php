<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** What this WordPress says about itself. Paths are asked from WordPress, never guessed. */
final class Site {

	/** Constants worth carrying over; everything else in wp-config.php belongs to this host. */
	const CONSTANTS = array(
		'WP_MEMORY_LIMIT', 'WP_MAX_MEMORY_LIMIT', 'WPLANG', 'WP_POST_REVISIONS', 'EMPTY_TRASH_DAYS', 'MEDIA_TRASH',
		'AUTOSAVE_INTERVAL', 'FS_METHOD', 'FS_CHMOD_DIR', 'FS_CHMOD_FILE', 'CUSTOM_USER_TABLE', 'CUSTOM_USER_META_TABLE',
		'UPLOADS', 'UPLOADBLOGSDIR', 'WP_CONTENT_FOLDERNAME', 'WP_DEBUG', 'WP_CACHE', 'WP_DEFAULT_THEME', 'IMAGE_EDIT_OVERWRITE',
		'DISALLOW_FILE_EDIT', 'DISALLOW_FILE_MODS', 'DISALLOW_UNFILTERED_HTML', 'ALLOW_UNFILTERED_UPLOADS', 'DISABLE_WP_CRON',
		'ALTERNATE_WP_CRON', 'FORCE_SSL_ADMIN', 'WP_ENVIRONMENT_TYPE', 'SCRIPT_DEBUG', 'CONCATENATE_SCRIPTS',
		'WP_ALLOW_MULTISITE', 'MULTISITE', 'SUBDOMAIN_INSTALL', 'DOMAIN_CURRENT_SITE', 'PATH_CURRENT_SITE', 'SITE_ID_CURRENT_SITE',
		'BLOG_ID_CURRENT_SITE',
	);

	/** Names of constants whose values are nobody's business. */
	const SECRETS = '/(KEY|SALT|PASS|PWD|SECRET|TOKEN|CREDENTIAL|PRIVATE|LICEN[CS]E|DSN|SIGNATURE|WEBHOOK|API)/i';

	/** Identifies this installation without telling anything about it. */
	public static function instance(string $key): string {
		return substr(hash_hmac('sha256', ABSPATH . "\0" . DB_NAME . "\0" . self::prefix(), $key), 0, 16);
	}

	/** @return array<string, mixed> */
	public static function hello(string $key): array {
		return array(
			'connector'   => SITEFERRY_CONNECTOR_VERSION,
			'protocol'    => 1,
			'instance'    => self::instance($key),
			'wordpress'   => self::wordpress_version(),
			'php'         => PHP_VERSION,
			'home'        => self::option('home'),
			'siteurl'     => self::option('siteurl'),
			'server_time' => time(),
			'multisite'   => is_multisite(),
			'writable'    => array(
				'connector' => is_writable(dirname(SITEFERRY_CONNECTOR_FILE)),
				'content'   => is_writable(WP_CONTENT_DIR),
			),
		);
	}

	/** @return array<string, mixed> */
	public static function facts(string $key): array {
		$free = function_exists('disk_free_space') ? @disk_free_space(WP_CONTENT_DIR) : false;
		return self::hello($key) + array(
			'versions'            => array(
				'wordpress'    => self::wordpress_version(),
				'wordpress_db' => (string) get_option('db_version'),
				'php'          => PHP_VERSION,
				'sapi'         => PHP_SAPI,
				'server'       => isset($_SERVER['SERVER_SOFTWARE']) ? (string) $_SERVER['SERVER_SOFTWARE'] : '',
				'os'           => PHP_OS,
				'extensions'   => get_loaded_extensions(),
			),
			'limits'              => array(
				'memory_limit'        => self::ini_bytes('memory_limit'),
				'max_execution_time'  => (int) ini_get('max_execution_time'),
				'post_max_size'       => self::ini_bytes('post_max_size'),
				'upload_max_filesize' => self::ini_bytes('upload_max_filesize'),
				'open_basedir'        => (string) ini_get('open_basedir'),
				'can_set_time_limit'  => function_exists('set_time_limit'),
			),
			'urls'                => self::urls(),
			'paths'               => self::paths(),
			'roots'               => array_values(self::roots()),
			'beside'              => self::beside(),
			'multisite_facts'     => self::multisite(),
			'locale'              => get_locale(),
			'timezone'            => (string) get_option('timezone_string'),
			'gmt_offset'          => get_option('gmt_offset'),
			'permalink_structure' => (string) get_option('permalink_structure'),
			'theme'               => array('stylesheet' => (string) get_option('stylesheet'), 'template' => (string) get_option('template')),
			'active_plugins'      => array_values(array_diff((array) get_option('active_plugins', array()), array(plugin_basename(SITEFERRY_CONNECTOR_FILE)))),
			'mu_plugins'          => self::php_files(WPMU_PLUGIN_DIR),
			'dropins'             => self::dropins(),
			'constants'           => self::constants(),
			'disk_free'           => is_float($free) ? (int) $free : null,
		);
	}

	/**
	 * The directories that make the site, in the order they are walked.
	 *
	 * `target` is where a root belongs below the document root of a copy. `only` (if not null) limits a root to these names.
	 *
	 * @return array<string, array{id: string, path: string, path_b64: string, target: string, only: string[]|null}>
	 */
	public static function roots(): array {
		$below = self::path_below_home((string) get_option('siteurl'));
		$known = array('abspath' => array(self::clean(ABSPATH), (string) $below, null));
		if ($below !== null && $below !== '') {
			$home          = self::home_path($below);
			$known['home'] = array($home, '', array_merge(array('index.php', 'robots.txt', 'favicon.ico'), self::plain_files($home)));
		}
		$uploads = self::uploads();
		$parts   = array(
			'content'    => array(WP_CONTENT_DIR, content_url(), 'wp-content'),
			'plugins'    => array(WP_PLUGIN_DIR, plugins_url(), 'wp-content/plugins'),
			'mu-plugins' => array(WPMU_PLUGIN_DIR, WPMU_PLUGIN_URL, 'wp-content/mu-plugins'),
			'uploads'    => array($uploads['basedir'], $uploads['baseurl'], 'wp-content/uploads'),
		);
		foreach ($parts as $id => $part) {
			$path = self::clean($part[0]);
			if (!is_dir($path) || self::covered($path, $known)) {
				continue;
			}
			$target     = self::path_below_home($part[1]);
			$known[$id] = array($path, $target === null || $target === '' ? $part[2] : $target, null);
		}
		$roots = array();
		foreach ($known as $id => $root) {
			$roots[$id] = array(
				'id'       => $id,
				'path'     => $root[0],
				'path_b64' => base64_encode($root[0]),
				'target'   => $root[1],
				'only'     => $root[2],
			);
		}
		return $roots;
	}

	/**
	 * Files of the web root that are served as they are: ads.txt, those that prove whose the site is, icons.
	 *
	 * @return string[] names in UTF-8, 1,000 at most
	 */
	private static function plain_files(string $dir): array {
		$names = @scandir($dir);
		$plain = array_filter(is_array($names) ? $names : array(), static function ($name) use ($dir) {
			return preg_match('/^[^.].*\.(txt|xml|html?|ico|png|jpe?g|gif|svg|webp|css|js|webmanifest|pdf)\z/isu', $name) && is_file($dir . '/' . $name);
		});
		return array_slice(array_values($plain), 0, 1000);
	}

	/**
	 * What lies in the site's web root and in none of its directories: a folder beside WordPress's own is not copied.
	 *
	 * @return string[]
	 */
	private static function beside(): array {
		$below = self::path_below_home((string) get_option('siteurl'));
		$root  = trim((string) wp_parse_url((string) get_option('home'), PHP_URL_PATH), '/') === '' && isset($_SERVER['DOCUMENT_ROOT'])
			? self::clean((string) $_SERVER['DOCUMENT_ROOT']) : '';
		$home  = $below ? self::home_path($below) : $root;
		$names = $home === '' || realpath($home) === realpath(ABSPATH) ? array() : @scandir($home);
		$only  = array('.', '..', 'wp-config.php', '.htaccess', '.user.ini');
		$dirs  = array();
		foreach (self::roots() as $id => $each) {
			$only   = $id === 'home' ? array_merge($only, (array) $each['only']) : $only;
			$dirs[] = $id === 'home' ? '' : (string) realpath($each['path']);
		}
		$found = array();
		foreach (array_diff(is_array($names) ? $names : array(), $only) as $name) {
			$real = (string) realpath($home . '/' . $name);
			foreach (array_filter($dirs) as $dir) {
				if ($real === '' || strpos($real . '/', $dir . '/') === 0 || strpos($dir . '/', $real . '/') === 0) {
					continue 2;
				}
			}
			$found[] = preg_match('//u', $name) ? $name : rawurlencode($name);
		}
		return array_slice($found, 0, 200);
	}

	/** @return array<string, string> directories that file rules are relative to, and that symlinks may lead into */
	public static function bases(): array {
		$uploads = self::uploads();
		return array(
			'abspath'    => self::clean(ABSPATH),
			'content'    => self::clean(WP_CONTENT_DIR),
			'plugins'    => self::clean(WP_PLUGIN_DIR),
			'mu-plugins' => self::clean(WPMU_PLUGIN_DIR),
			'themes'     => self::clean(WP_CONTENT_DIR . '/themes'),
			'uploads'    => self::clean($uploads['basedir']),
			'connector'  => self::clean(dirname(SITEFERRY_CONNECTOR_FILE)),
		);
	}

	/** An option, also when WordPress was loaded without what reads options. */
	private static function option(string $name): string {
		if (function_exists('get_option')) {
			return (string) get_option($name);
		}
		global $wpdb;
		return (string) $wpdb->get_var($wpdb->prepare("SELECT option_value FROM `{$wpdb->prefix}options` WHERE option_name = %s", $name));
	}

	/** What the database holds, where wp-config.php or a plugin says something else. */
	private static function stored(string $name): string {
		global $wpdb;
		return (string) $wpdb->get_var($wpdb->prepare("SELECT option_value FROM $wpdb->options WHERE option_name = %s", $name));
	}

	public static function prefix(): string {
		global $wpdb;
		return (string) $wpdb->prefix;
	}

	/** A path without trailing slash and with forward slashes only. */
	public static function clean(string $path): string {
		$path = str_replace('\\', '/', $path);
		return $path === '/' ? $path : rtrim($path, '/');
	}

	/** @param array<string, array{0: string, 1: string, 2: string[]|null}> $known */
	private static function covered(string $path, array $known): bool {
		foreach ($known as $root) {
			if ($root[2] === null && strpos($path . '/', rtrim($root[0], '/') . '/') === 0) {
				return true;
			}
		}
		return false;
	}

	/** The URL's path relative to the path of home, without slashes at the ends; null when it is not below home. */
	private static function path_below_home(string $url): ?string {
		$home = self::clean((string) preg_replace('#^https?:#i', '', (string) get_option('home')));
		$url  = self::clean((string) preg_replace('#^https?:#i', '', $url));
		if (stripos($url . '/', $home . '/') !== 0) {
			return null;
		}
		return trim(substr($url, strlen($home)), '/');
	}

	private static function home_path(string $below): string {
		$abspath = self::clean(ABSPATH);
		$tail    = '/' . $below;
		if (substr($abspath, -strlen($tail)) === $tail) {
			return substr($abspath, 0, -strlen($tail));
		}
		$script = isset($_SERVER['SCRIPT_FILENAME']) ? dirname((string) $_SERVER['SCRIPT_FILENAME']) : '';
		return self::clean($script !== '' && is_file($script . '/index.php') ? $script : dirname($abspath));
	}

	/** @return array{basedir: string, baseurl: string} */
	private static function uploads(): array {
		$dir = wp_upload_dir(null, false);
		return array('basedir' => (string) $dir['basedir'], 'baseurl' => (string) $dir['baseurl']);
	}

	/** @return array<string, string> */
	private static function urls(): array {
		$uploads = self::uploads();
		return array(
			'home_stored'     => self::stored('home'),
			'siteurl_stored'  => self::stored('siteurl'),
			'home'            => (string) get_option('home'),
			'siteurl'         => (string) get_option('siteurl'),
			'home_b64'        => base64_encode((string) get_option('home')), // some preview hosts rewrite URLs in what we say
			'siteurl_b64'     => base64_encode((string) get_option('siteurl')),
			'content'         => content_url(),
			'plugins'         => plugins_url(),
			'uploads'         => $uploads['baseurl'],
			'upload_url_path' => (string) get_option('upload_url_path'),
		);
	}

	/** @return array<string, string> */
	private static function paths(): array {
		$below = self::path_below_home((string) get_option('siteurl'));
		return self::bases() + array(
			'home'          => $below ? self::home_path($below) : self::clean(ABSPATH),
			'document_root' => isset($_SERVER['DOCUMENT_ROOT']) ? self::clean((string) $_SERVER['DOCUMENT_ROOT']) : '',
			'document_root_real' => isset($_SERVER['DOCUMENT_ROOT']) ? self::clean((string) realpath((string) $_SERVER['DOCUMENT_ROOT'])) : '',
			'abspath_real'  => (string) realpath(ABSPATH),
		);
	}

	/** @return array<string, mixed>|null */
	private static function multisite(): ?array {
		if (!is_multisite()) {
			return null;
		}
		$site = get_site();
		return array(
			'blog_id'     => get_current_blog_id(),
			'network_id'  => get_current_network_id(),
			'main_site'   => is_main_site(),
			'subdomains'  => is_subdomain_install(),
			'domain'      => $site ? $site->domain : '',
			'path'        => $site ? $site->path : '',
			'sites'       => (int) get_sites(array('count' => true)),
			'base_prefix' => $GLOBALS['wpdb']->base_prefix,
			'network_plugins' => array_keys((array) get_site_option('active_sitewide_plugins', array())),
		);
	}

	/** @return string[] */
	private static function php_files(string $dir): array {
		$names = is_dir($dir) ? @scandir($dir) : false;
		return array_values(array_filter(is_array($names) ? $names : array(), static function ($name) {
			return substr($name, -4) === '.php';
		}));
	}

	/** @return string[] */
	private static function dropins(): array {
		$names = array(
			'advanced-cache.php', 'db.php', 'db-error.php', 'install.php', 'maintenance.php', 'object-cache.php',
			'php-error.php', 'fatal-error-handler.php', 'sunrise.php', 'blog-deleted.php', 'blog-inactive.php', 'blog-suspended.php',
		);
		return array_values(array_filter($names, static function ($name) {
			return is_file(WP_CONTENT_DIR . '/' . $name);
		}));
	}

	/**
	 * What wp-config.php (and whatever it loads) defines beyond the constants we know: everything that is older than
	 * WordPress's own first one. Values that look like secrets stay here, unless they are asked for by name.
	 *
	 * @param string[] $asked
	 * @return array<string, mixed>
	 */
	public static function custom_constants(array $asked): array {
		$defined = get_defined_constants(true);
		$found   = array();
		foreach (isset($defined['user']) ? $defined['user'] : array() as $name => $value) {
			if ($name === 'WPINC') {
				break;
			}
			if (!(is_scalar($value) || $value === null) || in_array($name, self::CONSTANTS, true) || count($found) >= 500) {
				continue;
			}
			$ours = preg_match('/^(DB_|(AUTH|SECURE_AUTH|LOGGED_IN|NONCE)_(KEY|SALT)$)/', $name);
			$told = !$ours && (in_array($name, $asked, true) || !preg_match(self::SECRETS, $name));
			$found[$name] = $told ? $value : null;
		}
		return $found;
	}

	/** @return string[] directories of code that wp-config.php loads and no root holds: it does not travel */
	public static function code_outside(): array {
		$found = array();
		foreach (function_exists('get_included_files') ? get_included_files() : array() as $file) {
			$file = self::clean($file);
			if (substr($file, -16) === '/wp-settings.php') {
				break;
			}
			$inside = basename($file) === 'wp-config.php';
			foreach (self::roots() as $root) {
				$inside = $inside || strpos($file, rtrim($root['path'], '/') . '/') === 0;
			}
			if (!$inside) {
				$found[dirname($file)] = true;
			}
		}
		return array_slice(array_keys($found), 0, 50);
	}

	/** @return array<string, mixed> */
	private static function constants(): array {
		$found = array();
		foreach (self::CONSTANTS as $name) {
			if (defined($name) && (is_scalar(constant($name)) || constant($name) === null)) {
				$found[$name] = constant($name);
			}
		}
		return $found;
	}

	private static function wordpress_version(): string {
		return isset($GLOBALS['wp_version']) ? (string) $GLOBALS['wp_version'] : '';
	}

	/** An ini size in bytes; -1 = unlimited. */
	public static function ini_bytes(string $name): int {
		$value = trim((string) ini_get($name));
		$units = array('k' => 1024, 'm' => 1048576, 'g' => 1073741824);
		$unit  = strtolower(substr($value, -1));
		return (int) $value * (isset($units[$unit]) ? $units[$unit] : 1);
	}
}
