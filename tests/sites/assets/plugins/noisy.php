<?php
/**
 * Plugin Name: Noisy
 * Version: 1.0
 * Description: Reaches for the outside world when asked to.
 */
add_action( 'noisy_tick', function () {
	update_option( 'noisy_ticks', 1 + (int) get_option( 'noisy_ticks', 0 ), false );
} );

function noisy_do( $what, $arg ) {
	switch ( $what ) {
		case 'mail':
			return array( wp_mail( $arg( 'to' ), 'Ahoy ' . $arg( 'subject' ), "Your order is ready.\n" . home_url( '/' ) ), null );
		case 'phpmail':
			return array( mail( $arg( 'to' ), 'Raw ahoy', 'By mail() itself.' ), null );
		case 'http':
			$answer = wp_remote_get( $arg( 'url' ), array( 'timeout' => 5 ) );
			return is_wp_error( $answer )
				? array( false, $answer->get_error_code() . ': ' . $answer->get_error_message() )
				: array( true, wp_remote_retrieve_body( $answer ) );
		case 'curl':
			$curl = curl_init( $arg( 'url' ) );
			curl_setopt_array( $curl, array( CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 5 ) );
			$body = curl_exec( $curl );
			return array( false !== $body, false !== $body ? $body : curl_error( $curl ) );
		case 'fopen':
			$body = @file_get_contents( $arg( 'url' ) );
			return array( false !== $body, false !== $body ? $body : ( error_get_last()['message'] ?? null ) );
		case 'socket':
			$socket = @fsockopen( '127.0.0.1', (int) $arg( 'port' ), $number, $text, 3 );
			return array( (bool) $socket, $text );
		case 'exec':
			$said = exec( $arg( 'cmd' ) );
			return array( false !== $said, $said );
		case 'read':
			$body = @file_get_contents( $arg( 'path' ) );
			return array( false !== $body, false !== $body ? base64_encode( substr( $body, 0, 4096 ) ) : ( error_get_last()['message'] ?? null ) );
		case 'write':
			return array( false !== @file_put_contents( $arg( 'path' ), 'noisy was here' ), error_get_last()['message'] ?? null );
		case 'list':
			$names = @scandir( $arg( 'path' ) );
			return array( false !== $names, $names );
		case 'cron':
			wp_schedule_single_event( time() - 10, 'noisy_tick', array( wp_rand() ) );
			return array( (bool) spawn_cron(), null );
		case 'cron_ran':
			return array( true, (int) get_option( 'noisy_ticks', 0 ) );
		case 'drop_ins':
			return array( true, array_keys( array_filter( array(
				'object-cache.php'   => defined( 'NASTY_OBJECT_CACHE' ),
				'advanced-cache.php' => defined( 'NASTY_ADVANCED_CACHE' ),
				'db.php'             => defined( 'NASTY_DB' ),
			) ) ) );
		case 'ini':
			return array( true, ini_get( $arg( 'name' ) ) );
		case 'env':
			return array( true, getenv( $arg( 'name' ) ) );
	}
	return array( false, 'unknown' );
}

add_action( 'init', function () {
	if ( empty( $_GET['noisy'] ) || ! is_string( $_GET['noisy'] ) ) {
		return;
	}
	$arg = function ( $name ) {
		return isset( $_GET[ $name ] ) ? wp_unslash( (string) $_GET[ $name ] ) : '';
	};
	try {
		list( $ok, $said ) = noisy_do( $_GET['noisy'], $arg );
	} catch ( Throwable $error ) {
		list( $ok, $said ) = array( false, get_class( $error ) . ': ' . $error->getMessage() );
	}
	nocache_headers();
	header( 'Content-Type: application/json' );
	echo wp_json_encode( array( 'what' => $_GET['noisy'], 'ok' => (bool) $ok, 'said' => $said ) );
	exit;
}, 1000 );
