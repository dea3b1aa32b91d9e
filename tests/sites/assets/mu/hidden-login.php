<?php
/* Plugin Name: The login page moved, as WPS Hide Login does: /wp-login.php and /wp-admin/ answer 404 to strangers. */
add_action( 'init', function () {
	$path = parse_url( $_SERVER['REQUEST_URI'] ?? '', PHP_URL_PATH );
	$login = preg_match( '~/wp-login\.php$~', (string) $path );
	$admin = preg_match( '~/wp-admin(/|$)~', (string) $path ) && ! preg_match( '~/admin-ajax\.php$~', (string) $path );
	if ( PHP_SAPI !== 'cli' && ( $login || $admin ) && ! is_user_logged_in() && ! isset( $_GET['harbour-door'] ) ) {
		status_header( 404 );
		nocache_headers();
		echo '<!DOCTYPE html><title>Page not found</title><h1>Not found</h1>';
		exit;
	}
}, 0 );
// Who knows the door gets a form that leads through it.
add_filter( 'site_url', function ( $url, $path ) {
	return isset( $_GET['harbour-door'] ) && strpos( (string) $path, 'wp-login.php' ) === 0 ? add_query_arg( 'harbour-door', '1', $url ) : $url;
}, 10, 2 );
