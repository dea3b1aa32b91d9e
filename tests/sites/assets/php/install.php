<?php
/** Installs WordPress into an empty database with its own wp_install(). argv: ABSPATH URL. */
error_reporting( E_ALL & ~E_DEPRECATED );
define( 'WP_INSTALLING', true );
$parts = parse_url( $argv[2] );
$_SERVER['HTTP_HOST']       = $parts['host'];
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_METHOD']  = 'GET';
$_SERVER['REQUEST_URI']     = '/';
define( 'WP_SITEURL', $argv[2] );
require $argv[1] . '/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
add_filter( 'pre_wp_mail', '__return_true' );
wp_install( 'Template', 'admin', 'admin@example.org', true, '', 'template-password' );
echo 'installed ', count( $GLOBALS['wpdb']->get_results( 'SHOW TABLES' ) ), " tables\n";
