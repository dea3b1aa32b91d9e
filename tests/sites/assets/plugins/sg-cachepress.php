<?php
/**
 * Plugin Name: SiteGround Optimizer
 * Version: 7.0.0
 * Description: Stands in for the hosting company's plugin: it must not run anywhere else.
 */
add_action( 'send_headers', function () {
	header( 'X-SG-Cachepress: on' );
} );
