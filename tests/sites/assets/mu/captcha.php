<?php
/* Plugin Name: A captcha on the login form. No machine can answer it: the answer is not in the page. */
add_action( 'login_form', function () {
	echo '<div class="g-recaptcha" data-sitekey="6Lc-not-a-real-key"></div>'
		. '<p><label>Please type the letters in the picture <input type="text" name="captcha_code" class="input"></label></p>';
} );
add_filter( 'authenticate', function ( $user ) {
	if ( 'POST' === $_SERVER['REQUEST_METHOD'] && isset( $_POST['log'] ) && 'seagull' !== ( $_POST['captcha_code'] ?? '' ) ) {
		return new WP_Error( 'captcha_invalid', '<strong>Error:</strong> The CAPTCHA answer is wrong.' );
	}
	return $user;
}, 98 );
