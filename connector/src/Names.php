<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Names of the tables a restore makes beside those of the site. */
final class Names {

	/** What identifies a restore in the names of its tables. */
	public static function tag(string $restore): string {
		return substr(sha1($restore), 0, 8);
	}

	/** A table that is being prepared, or one that was taken back. */
	public static function staged(string $restore, int $n): string {
		return 'sfn_' . self::tag($restore) . '_' . $n;
	}

	/** A table as it was before the swap. */
	public static function old(string $restore, int $n): string {
		return 'sfo_' . self::tag($restore) . '_' . $n;
	}

	public static function ours(string $table): bool {
		return (bool) preg_match('/^sf[no]_[0-9a-f]{8}_\d+$/D', $table);
	}
}
