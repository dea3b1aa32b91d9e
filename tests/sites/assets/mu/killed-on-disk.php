<?php
/**
 * PHP that dies while WordPress writes files: at the operation whose number is in wp-content/die-at, once.
 */
if ( ! defined( 'ABSPATH' ) ) {
	exit;
}

add_filter(
	'filesystem_method',
	static function () {
		require_once ABSPATH . 'wp-admin/includes/class-wp-filesystem-base.php';
		require_once ABSPATH . 'wp-admin/includes/class-wp-filesystem-direct.php';
		if ( ! class_exists( 'WP_Filesystem_Killed', false ) ) {
			// phpcs:ignore Generic.Classes.DuplicateClassName
			class WP_Filesystem_Killed extends WP_Filesystem_Direct {
				private static function count() {
					$file = WP_CONTENT_DIR . '/die-at';
					$left = is_file( $file ) ? (int) file_get_contents( $file ) : -1;
					if ( $left === 0 ) {
						unlink( $file );
						posix_kill( getmypid(), 9 );
					} elseif ( $left > 0 ) {
						file_put_contents( $file, (string) ( $left - 1 ) );
					}
				}
				public function put_contents( $file, $contents, $mode = false ) {
					self::count();
					return parent::put_contents( $file, $contents, $mode );
				}
				public function copy( $source, $destination, $overwrite = false, $mode = false ) {
					self::count();
					return parent::copy( $source, $destination, $overwrite, $mode );
				}
				public function move( $source, $destination, $overwrite = false ) {
					self::count();
					return parent::move( $source, $destination, $overwrite );
				}
				public function mkdir( $path, $chmod = false, $chown = false, $chgrp = false ) {
					self::count();
					return parent::mkdir( $path, $chmod, $chown, $chgrp );
				}
				public function delete( $file, $recursive = false, $type = false ) {
					self::count();
					return parent::delete( $file, $recursive, $type );
				}
			}
		}
		return 'killed';
	}
);
add_filter( 'filesystem_method_file', static fn () => __FILE__ );
add_filter( 'request_filesystem_credentials', static fn () => array( 'hostname' => 'x' ) );
