<?php
/* Plugin Name: A second factor after the password, the way the Two Factor plugin asks for it. The code is 246810. */
add_filter( 'authenticate', function ( $user ) {
	if ( $user instanceof WP_User && did_action( 'login_init' ) ) {
		add_filter( 'send_auth_cookies', '__return_false', 99 );
	}
	return $user;
}, 99 );

add_action( 'wp_login', function ( $login, $user ) {
	wp_clear_auth_cookie();
	login_header( 'Two-Factor', '', null );
	$nonce = wp_create_nonce( 'two-factor-' . $user->ID );
	echo '<form name="validate_2fa_form" id="loginform" method="post" action="'
		. esc_url( site_url( 'wp-login.php?action=validate_2fa', 'login_post' ) ) . '">'
		. '<input type="hidden" name="wp-auth-id" value="' . (int) $user->ID . '">'
		. '<input type="hidden" name="wp-auth-nonce" value="' . esc_attr( $nonce ) . '">'
		. '<p><label for="authcode">Authentication Code:</label>'
		. '<input type="tel" name="authcode" id="authcode" class="input authcode" inputmode="numeric"></p>';
	require_once ABSPATH . 'wp-admin/includes/template.php';
	submit_button( 'Authenticate' );
	echo '</form>';
	login_footer( 'authcode' );
	exit;
}, 10, 2 );

add_action( 'login_form_validate_2fa', function () {
	$id = isset( $_POST['wp-auth-id'] ) ? (int) $_POST['wp-auth-id'] : 0;
	if ( '246810' === ( $_POST['authcode'] ?? '' ) && wp_verify_nonce( $_POST['wp-auth-nonce'] ?? '', 'two-factor-' . $id ) ) {
		remove_all_filters( 'send_auth_cookies', 99 );
		wp_set_auth_cookie( $id, false );
		wp_safe_redirect( admin_url() );
		exit;
	}
	wp_safe_redirect( wp_login_url() );
	exit;
} );
