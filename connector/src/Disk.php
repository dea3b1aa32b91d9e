<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Files and directories, with errors that say what is wrong: no room, or not ours to write. */
final class Disk {

	/** Makes a directory and those above it, with the mode of the nearest one that exists. */
	public static function directory(string $dir): void {
		if (is_dir($dir)) {
			return;
		}
		$above = dirname($dir);
		self::directory($above);
		if (!@mkdir($dir) && !is_dir($dir)) {
			throw self::fault($dir);
		}
		@chmod($dir, (int) @fileperms($above) & 02777);
	}

	/** Writes a file in one step: whoever reads it sees the old or the new text. */
	public static function put(string $file, string $text, bool $synced = false): void {
		$part   = $file . '.' . bin2hex(random_bytes(4));
		$handle = @fopen($part, 'xb');
		if ($handle === false) {
			throw self::fault($file);
		}
		$done = @fwrite($handle, $text) === strlen($text) && fflush($handle);
		if ($done && $synced && function_exists('fsync')) {
			call_user_func('fsync', $handle); // PHP 8.1
		}
		fclose($handle);
		if (!$done || !@rename($part, $file)) {
			@unlink($part);
			throw self::fault($file, !$done);
		}
	}

	/** A second name for a file, or a copy where that is not possible. Nothing is ever half there. */
	public static function twin(string $from, string $to): void {
		self::directory(dirname($to));
		if (is_link($from)) {
			if (!@symlink((string) readlink($from), $to)) {
				throw self::fault($to);
			}
			return;
		}
		if (function_exists('link') && @link($from, $to)) {
			return;
		}
		self::copy($from, $to);
	}

	/** Moves a file into its place in one step, also from another file system. */
	public static function move(string $from, string $to): void {
		self::directory(dirname($to));
		$here  = @lstat($from);
		$there = @stat(dirname($to));
		if ($here !== false && $there !== false && $here['dev'] === $there['dev'] && @rename($from, $to)) {
			if (file_exists($from) || is_link($from)) {
				@unlink($from); // both names meant the same file: rename leaves them alone
			}
			return;
		}
		if ($here === false) {
			throw new Fault('stage_lost', 'A file of this restore has vanished from its directory.');
		}
		self::copy($from, $to);
		@unlink($from);
	}

	/** Deletes a directory with all that is in it. */
	public static function remove(string $path): void {
		if (is_link($path) || !is_dir($path)) {
			@unlink($path);
			return;
		}
		$names = @scandir($path);
		foreach (is_array($names) ? $names : array() as $name) {
			if ($name !== '.' && $name !== '..') {
				self::remove($path . '/' . $name);
			}
		}
		@rmdir($path);
	}

	/** @return int bytes of all files below a directory */
	public static function size(string $path): int {
		if (is_link($path) || !is_dir($path)) {
			return (int) @filesize($path);
		}
		$bytes = 0;
		$names = @scandir($path);
		foreach (is_array($names) ? $names : array() as $name) {
			$bytes += $name === '.' || $name === '..' ? 0 : self::size($path . '/' . $name);
		}
		return $bytes;
	}

	/** Directories that became empty are removed, up to (not including) $top. */
	public static function prune(string $dir, string $top): void {
		while (strlen($dir) > strlen($top) && strpos($dir, $top . '/') === 0 && @rmdir($dir)) {
			$dir = dirname($dir);
		}
	}

	public static function fault(string $path, bool $full = false): Fault {
		$dir = dirname($path);
		while (!is_dir($dir) && dirname($dir) !== $dir) {
			$dir = dirname($dir);
		}
		$free = function_exists('disk_free_space') ? @disk_free_space($dir) : false;
		$name = str_replace(Site::clean(ABSPATH) . '/', '', $path);
		if ($full || (is_float($free) && $free < 65536)) {
			return new Fault('target_full', 'There is no space left to write ' . $name . '.');
		}
		return new Fault('target_read_only', $name . ' can not be written.', 400, array('file' => $name));
	}

	/** Copied beside its place first: a file that others read is exchanged whole. */
	private static function copy(string $from, string $to): void {
		$part = dirname($to) . '/.siteferry-' . bin2hex(random_bytes(6));
		if (!@copy($from, $part)) {
			@unlink($part);
			throw self::fault($to, file_exists(dirname($to)) && is_writable(dirname($to)));
		}
		$stat = (array) @stat($from);
		@chmod($part, $stat['mode'] & 07777);
		@touch($part, $stat['mtime'], $stat['atime']);
		if (filesize($part) !== $stat['size'] || !@rename($part, $to)) {
			@unlink($part);
			throw self::fault($to);
		}
	}
}
