<?php
add_action( 'wp_enqueue_scripts', function () {
	wp_enqueue_style( 'harbour-parent', get_template_directory_uri() . '/style.css', array(), '1.7' );
	wp_enqueue_style( 'harbour-pine', get_stylesheet_uri(), array( 'harbour-parent' ), '1.4' );
} );
add_action( 'wp_body_open', function () {
	$notice = get_theme_mod( 'harbour_notice' );
	if ( $notice ) {
		echo '<div class="harbour-notice">', wp_kses_post( $notice ), '</div>';
	}
} );
