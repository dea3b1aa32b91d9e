<?php
/** Runs the PHP read from standard input inside a booted WordPress; prints its return value as JSON. argv: ABSPATH HOME. */
error_reporting( E_ALL & ~E_DEPRECATED );
$parts = parse_url( $argv[2] );
$_SERVER['HTTP_HOST']       = $parts['host'] . ( isset( $parts['port'] ) ? ':' . $parts['port'] : '' );
$_SERVER['SERVER_NAME']     = $parts['host'];
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_METHOD']  = 'GET';
$_SERVER['REQUEST_URI']     = '/';
$_SERVER['REMOTE_ADDR']     = '127.0.0.1';
require $argv[1] . '/wp-load.php';
add_filter( 'pre_wp_mail', '__return_true' );
$input  = json_decode( stream_get_line( STDIN, 1 << 30, "\n" ), true );
$result = ( function ( array $input, string $code ) {
	global $wpdb, $wp_rewrite;
	return eval( $code );
} )( $input, stream_get_contents( STDIN ) );
echo "\n\x1e", json_encode( $result, JSON_THROW_ON_ERROR | JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE ), "\n";
