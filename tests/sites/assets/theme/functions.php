<?php
add_action( 'after_setup_theme', function () {
	add_theme_support( 'title-tag' );
	add_theme_support( 'post-thumbnails' );
	register_nav_menu( 'main', 'Main menu' );
} );
add_action( 'widgets_init', function () {
	register_sidebar( array( 'id' => 'side', 'name' => 'Side' ) );
} );
add_action( 'wp_enqueue_scripts', function () {
	wp_enqueue_style( 'plain-pine', get_stylesheet_uri(), array(), '1.0' );
} );
