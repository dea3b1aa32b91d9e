<?php
/**
 * Hosts switch functions off (`disable_functions`), and PHP 8 ends the request that calls one. Whatever may be missing is
 * defined here, in our namespace, where our calls find it first: each does without, or says that it can not.
 *
 * @package Siteferry
 */

namespace Siteferry\Connector;

defined('ABSPATH') || exit;

if (!function_exists('ignore_user_abort')) {
	function ignore_user_abort($enable = null) {
		return 0;
	}
}
if (!function_exists('set_time_limit')) {
	function set_time_limit($seconds) {
		return false;
	}
}
if (!function_exists('ini_set')) {
	function ini_set($option, $value) {
		return false;
	}
}
if (!function_exists('ini_get')) {
	function ini_get($option) {
		return false;
	}
}
if (!function_exists('readlink')) {
	function readlink($path) {
		return false;
	}
}
if (!function_exists('symlink')) {
	function symlink($target, $link) {
		return false;
	}
}
if (!function_exists('chmod')) {
	function chmod($path, $mode) {
		return false;
	}
}
if (!function_exists('touch')) {
	function touch($path, $mtime = null, $atime = null) {
		return false;
	}
}
if (!function_exists('fileperms')) {
	function fileperms($path) {
		return is_dir($path) ? 040755 : 0100644;
	}
}
if (!function_exists('usleep')) {
	function usleep($microseconds) {
	}
}
if (!function_exists('realpath')) {
	function realpath($path) {
		return (new \SplFileInfo($path))->getRealPath();
	}
}
if (!function_exists('scandir')) {
	function scandir($dir) {
		try {
			$names = array('.', '..');
			foreach (new \FilesystemIterator($dir, \FilesystemIterator::KEY_AS_FILENAME | \FilesystemIterator::SKIP_DOTS) as $name => $path) {
				$names[] = $name;
			}
		} catch (\Exception $error) {
			return false;
		}
		sort($names, SORT_STRING);
		return $names;
	}
}
if (!function_exists('opendir') || !function_exists('readdir') || !function_exists('closedir')) {
	function opendir($dir) {
		$names = scandir($dir);
		return is_array($names) ? new \ArrayIterator($names) : false;
	}
	function readdir($handle) {
		if (!$handle->valid()) {
			return false;
		}
		$name = $handle->current();
		$handle->next();
		return $name;
	}
	function closedir($handle) {
	}
}
if (!function_exists('glob')) {
	function glob($pattern, $flags = 0) {
		$names = scandir(dirname($pattern));
		$start = rtrim(basename($pattern), '*');
		$found = array();
		foreach (is_array($names) ? $names : array() as $name) {
			if (strncmp($name, $start, strlen($start)) === 0) {
				$found[] = dirname($pattern) . '/' . $name;
			}
		}
		return $found;
	}
}
if (!function_exists('md5_file')) {
	function md5_file($path) {
		return hash_file('md5', $path);
	}
}
if (!function_exists('gzcompress')) {
	function gzcompress($data, $level = -1) {
		return false;
	}
}
if (!function_exists('flock')) {
	function flock($handle, $operation) {
		return false;
	}
}
if (!function_exists('flush')) {
	function flush() {
	}
}
if (!function_exists('ob_get_level')) {
	function ob_get_level() {
		return 0;
	}
}
if (!function_exists('ob_end_clean')) {
	function ob_end_clean() {
		return false;
	}
}
if (!function_exists('error_get_last')) {
	function error_get_last() {
		return null;
	}
}
if (!function_exists('register_shutdown_function')) {
	function register_shutdown_function($callback) {
	}
}
if (!function_exists('memory_get_usage')) {
	function memory_get_usage($real = false) {
		return 0;
	}
}
if (!function_exists('memory_get_peak_usage')) {
	function memory_get_peak_usage($real = false) {
		return 0;
	}
}
if (!function_exists('get_loaded_extensions')) {
	function get_loaded_extensions() {
		return array();
	}
}
if (!function_exists('stream_set_read_buffer')) {
	function stream_set_read_buffer($stream, $size) {
		return -1;
	}
}
if (!function_exists('mt_rand')) {
	function mt_rand($min, $max) {
		return random_int($min, $max);
	}
}
if (!function_exists('lstat')) {
	function lstat($path) {
		return is_link($path) ? false : stat($path);
	}
}
