<?php
/* Plugin Name: No REST for anybody, as the "Disable REST API" plugins do it. */
add_filter( 'rest_authentication_errors', function () {
	return new WP_Error( 'rest_disabled', 'The REST API on this site has been disabled.', array( 'status' => 403 ) );
}, 99 );
remove_action( 'wp_head', 'rest_output_link_wp_head' );
remove_action( 'template_redirect', 'rest_output_link_header', 11 );
