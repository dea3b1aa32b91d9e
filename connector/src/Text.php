<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Reads LOAD DATA text: the other direction of Lines. */
final class Text {

	const MEANING = array('\\\\' => '\\', '\\t' => "\t", '\\n' => "\n", '\\r' => "\r", '\\0' => "\0", '\\Z' => "\x1a");

	/**
	 * The cells of one line (without its newline); null stands for NULL.
	 *
	 * @return array<int, string|null>
	 */
	public static function cells(string $line): array {
		$cells = array();
		foreach (explode("\t", $line) as $cell) {
			if ($cell === '\\N') {
				$cells[] = null;
			} else {
				$cells[] = strpos($cell, '\\') === false ? $cell : strtr($cell, self::MEANING);
			}
		}
		return $cells;
	}

	/** @return array<int, string|null> the values of a key that came as base64 of its line */
	public static function key($line_b64): array {
		$line = is_string($line_b64) ? base64_decode($line_b64, true) : false;
		if (!is_string($line)) {
			throw new Fault('bad_params', 'A key can not be read.');
		}
		return self::cells($line);
	}

	/** @return \Generator<int, string> the lines of a block, without their newlines */
	public static function lines(string $block): \Generator {
		$at   = 0;
		$size = strlen($block);
		while ($at < $size) {
			$end = strpos($block, "\n", $at);
			$end = $end === false ? $size : $end;
			yield substr($block, $at, $end - $at);
			$at = $end + 1;
		}
	}
}
