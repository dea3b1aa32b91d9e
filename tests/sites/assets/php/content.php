<?php
/* Fills a freshly installed site. Dates are fixed, so two sites differ in their address alone. */
require_once ABSPATH . 'wp-admin/includes/image.php';
require_once ABSPATH . 'wp-admin/includes/nav-menu.php';
$home = untrailingslashit( $input['home'] );
$made = array( 'posts' => array(), 'pages' => array() );
$date = function ( $n ) { return gmdate( 'Y-m-d H:i:s', 1709290800 + 86400 * $n ); };
$categories = array();
foreach ( array( 'Boats', 'Timber', 'Tools' ) as $name ) {
	$term         = wp_insert_term( $name, 'category' );
	$categories[] = $term['term_id'];
}

/* One picture, with the sizes WordPress makes of it. */
$upload = wp_upload_dir( '2024/03' );
$file   = $upload['path'] . '/shed.jpg';
$image  = imagecreatetruecolor( 1200, 800 );
for ( $y = 0; $y < 800; $y++ ) {
	imageline( $image, 0, $y, 1199, $y, imagecolorallocate( $image, 90 + intdiv( $y, 8 ), 140, 200 - intdiv( $y, 6 ) ) );
}
imagefilledellipse( $image, 600, 560, 700, 260, imagecolorallocate( $image, 120, 72, 40 ) );
imagejpeg( $image, $file, 82 );
imagedestroy( $image );
$picture = wp_insert_attachment( array(
	'post_title' => 'The shed', 'post_mime_type' => 'image/jpeg', 'post_status' => 'inherit',
	'guid' => $upload['url'] . '/shed.jpg', 'post_date' => $date( 0 ),
), $file );
wp_update_attachment_metadata( $picture, wp_generate_attachment_metadata( $picture, $file ) );
$made['picture'] = $picture;

for ( $n = 1; $n <= 12; $n++ ) {
	$body = "<!-- wp:paragraph -->\n<p>Entry $n about <a href=\"$home/about/\">our workshop</a>, écrit à la main ⛵.</p>\n<!-- /wp:paragraph -->\n"
		. '<!-- wp:image {"id":' . $picture . ',"sizeSlug":"large","linkDestination":"none"} -->' . "\n"
		. '<figure class="wp-block-image size-large"><img src="' . $upload['url'] . '/shed-1024x683.jpg" alt="" class="wp-image-' . $picture . '"/></figure>'
		. "\n<!-- /wp:image -->\n<p>Write to captain@" . parse_url( $home, PHP_URL_HOST ) . " or call.</p>";
	$id   = wp_insert_post( array(
		'post_title' => "Log entry $n", 'post_content' => $body, 'post_status' => 'publish', 'post_author' => 1,
		'post_date' => $date( $n ), 'post_category' => array( $categories[ $n % 3 ] ), 'tags_input' => array( 'pine', "week-$n" ),
	), true );
	set_post_thumbnail( $id, $picture );
	$made['posts'][] = $id;
	update_post_meta( $id, '_elementor_data', wp_slash( wp_json_encode( array(
		array( 'id' => 'a' . $n, 'elType' => 'section', 'settings' => array( 'background_image' => array( 'url' => $upload['url'] . '/shed.jpg', 'id' => $picture ) ),
			'elements' => array( array( 'elType' => 'widget', 'settings' => array( 'link' => array( 'url' => "$home/contact/?from=$n" ), 'text' => "Ahoi – $n" ) ) ) ),
	) ) ) );
	update_post_meta( $id, '_layout', array( 'hero' => array( 'image' => $upload['url'] . '/shed.jpg', 'depth' => array( 'link' => "$home/about/", 'n' => $n ) ) ) );
	if ( 0 === $n % 2 ) {
		wp_insert_comment( array(
			'comment_post_ID' => $id, 'comment_author' => "Reader $n", 'comment_author_email' => "reader$n@example.net",
			'comment_author_url' => "$home/log/", 'comment_content' => "Seen on $home/about/ – schön!", 'comment_approved' => 1,
			'comment_date' => $date( $n + 1 ), 'comment_date_gmt' => $date( $n + 1 ),
		) );
	}
}
foreach ( array( 'About' => 'about', 'Contact' => 'contact', 'Log' => 'log' ) as $title => $slug ) {
	$made['pages'][] = wp_insert_post( array(
		'post_type' => 'page', 'post_title' => $title, 'post_name' => $slug, 'post_status' => 'publish', 'post_author' => 1,
		'post_date' => $date( 1 ), 'post_content' => "<p>$title. <a href=\"$home/\">Home</a></p><img src=\"" . $upload['url'] . '/shed-300x200.jpg" alt="">',
	) );
}

$menu = wp_create_nav_menu( 'Main' );
wp_update_nav_menu_item( $menu, 0, array( 'menu-item-title' => 'Home', 'menu-item-url' => "$home/", 'menu-item-status' => 'publish' ) );
foreach ( $made['pages'] as $page ) {
	wp_update_nav_menu_item( $menu, 0, array(
		'menu-item-object-id' => $page, 'menu-item-object' => 'page', 'menu-item-type' => 'post_type', 'menu-item-status' => 'publish',
	) );
}
set_theme_mod( 'nav_menu_locations', array( 'main' => $menu ) );
update_option( 'widget_text', array( 2 => array( 'title' => 'Hours', 'text' => "<a href=\"$home/contact/\">Come by</a>", 'filter' => true ), '_multiwidget' => 1 ) );
update_option( 'widget_recent-posts', array( 2 => array( 'title' => 'Latest', 'number' => 5 ), '_multiwidget' => 1 ) );
update_option( 'sidebars_widgets', array( 'wp_inactive_widgets' => array(), 'side' => array( 'text-2', 'recent-posts-2' ), 'array_version' => 3 ) );

update_option( 'pine_settings', array( 'logo' => $upload['url'] . '/shed.jpg', 'cache' => serialize( array( 'home' => "$home/", 'deep' => serialize( "$home/deep" ) ) ), 'on' => true, 'ratio' => 0.1 ) );
update_option( 'pine_json', wp_json_encode( array( 'endpoint' => "$home/wp-json/", 'nested' => wp_json_encode( array( 'u' => "$home/x" ) ) ) ) );
update_option( 'pine_share', 'https://share.example.com/?u=' . rawurlencode( "$home/about/" ) );
update_option( 'pine_mail', 'captain@' . parse_url( $home, PHP_URL_HOST ) );
update_option( 'pine_path', ABSPATH . 'wp-content/uploads/shed.jpg' );
return $made;
