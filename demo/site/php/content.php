<?php
/* Fills the workshop's site. $input['data'] comes from demo/site/words.py; every date in it is fixed. */
require_once ABSPATH . 'wp-admin/includes/plugin.php';
require_once ABSPATH . 'wp-admin/includes/nav-menu.php';
wp_set_current_user( 1 );
$data     = $input['data'];
$home     = untrailingslashit( home_url() );
$pictures = $data['pictures'];
$place    = function ( $text ) use ( $home, $pictures ) {
	$text = preg_replace_callback( '~\{image:(\d+):(\w+)\}~', function ( $found ) use ( $pictures ) {
		$id  = $pictures[ $found[1] % count( $pictures ) ];
		$src = wp_get_attachment_image_url( $id, $found[2] );
		$alt = esc_attr( get_the_title( $id ) );
		return "<!-- wp:image {\"id\":$id,\"sizeSlug\":\"{$found[2]}\",\"linkDestination\":\"none\"} -->\n"
			. "<figure class=\"wp-block-image size-{$found[2]}\"><img src=\"$src\" alt=\"$alt\" class=\"wp-image-$id\"/>"
			. "<figcaption class=\"wp-element-caption\">$alt</figcaption></figure>\n<!-- /wp:image -->";
	}, $text );
	return str_replace( array( '{home}', '{host}' ), array( $home, preg_replace( '~^https?://~', '', $home ) ), $text );
};
wp_delete_post( 1, true );
wp_delete_post( 2, true );
wp_delete_post( 3, true );

$users = array();
foreach ( $data['users'] as $user ) {
	$users[] = $id = wp_insert_user( $user );
	update_user_meta( $id, 'description', $place( $user['description'] ) );
}
array_unshift( $users, 1 );
wp_update_user( array( 'ID' => 1, 'display_name' => 'Maren Holt', 'user_url' => $home . '/about/' ) );
$wpdb->query( "UPDATE {$wpdb->users} SET user_registered = '2019-04-02 09:00:00'" );

$terms = array();
foreach ( $data['categories'] as $slug => $name ) {
	$terms[ $slug ] = wp_insert_term( $name, 'category', array( 'slug' => $slug, 'description' => $place( "Notes on $name. See <a href=\"{home}/journal/\">the journal</a>." ) ) )['term_id'];
}

$pages = array();
foreach ( $data['pages'] as $page ) {
	$pages[ $page['slug'] ] = $id = wp_insert_post( wp_slash( array(
		'post_type' => 'page', 'post_status' => 'publish', 'post_author' => 1, 'post_title' => $page['title'], 'post_name' => $page['slug'],
		'post_content' => $place( $page['content'] ), 'post_date' => $page['date'], 'post_date_gmt' => $page['date'], 'menu_order' => count( $pages ),
		'comment_status' => 'closed',
	) ) );
}
$posts = array();
foreach ( $data['posts'] as $n => $post ) {
	$posts[] = $id = wp_insert_post( wp_slash( array(
		'post_status' => 'publish', 'post_author' => $users[ $n % 4 ], 'post_title' => $post['title'], 'post_content' => $place( $post['content'] ),
		'post_excerpt' => $post['excerpt'], 'post_date' => $post['date'], 'post_date_gmt' => $post['date'],
		'post_category' => array( $terms[ $post['category'] ] ), 'tags_input' => $post['tags'],
	) ) );
	set_post_thumbnail( $id, $pictures[ $n * 4 % count( $pictures ) ] );
	$builder = array( array( 'id' => substr( md5( (string) $n ), 0, 7 ), 'elType' => 'section', 'settings' => array(
		'background_image' => array( 'url' => wp_get_attachment_url( $pictures[ $n % count( $pictures ) ] ), 'id' => $pictures[ $n % count( $pictures ) ] ),
		'link' => array( 'url' => "$home/contact/?about=$id", 'is_external' => '' ) ),
		'elements' => array( array( 'elType' => 'widget', 'widgetType' => 'text-editor', 'settings' => array( 'editor' => $place( '<p>Visit <a href="{home}/workshop/">the shed</a> – für Jung & Alt ⛵</p>' ) ) ) ) ) );
	update_post_meta( $id, '_elementor_data', wp_slash( wp_json_encode( $builder ) ) );
	update_post_meta( $id, '_pine_gallery', array( 'images' => array( wp_get_attachment_url( $pictures[ $n ] ), wp_get_attachment_url( $pictures[ $n + 1 ] ) ), 'inner' => serialize( array( 'more' => "$home/gallery/#$n" ) ) ) );
	if ( 0 === $n % 9 ) {
		stick_post( $id );
	}
}
$last = 0;
foreach ( $data['comments'] as $comment ) {
	$last = wp_insert_comment( array(
		'comment_post_ID' => $posts[ $comment['post'] ], 'comment_author' => $comment['author'], 'comment_author_email' => $comment['email'],
		'comment_author_url' => $place( $comment['url'] ), 'comment_content' => $place( $comment['content'] ), 'comment_date' => $comment['date'],
		'comment_date_gmt' => $comment['date'], 'comment_approved' => $comment['approved'], 'comment_parent' => $comment['reply'] ? $last : 0,
		'comment_author_IP' => '192.0.2.15',
	) );
}
foreach ( array_unique( $posts ) as $id ) {
	wp_update_comment_count_now( $id );
}

foreach ( array( 'primary' => array( 'workshop', 'boats', 'courses', 'journal', 'gallery', 'contact' ), 'footer' => array( 'prices', 'timber', 'imprint' ) ) as $where => $slugs ) {
	$menu = wp_create_nav_menu( ucfirst( $where ) );
	if ( 'primary' === $where ) {
		wp_update_nav_menu_item( $menu, 0, array( 'menu-item-title' => 'Home', 'menu-item-url' => "$home/", 'menu-item-status' => 'publish' ) );
	}
	foreach ( $slugs as $slug ) {
		wp_update_nav_menu_item( $menu, 0, array( 'menu-item-object-id' => $pages[ $slug ], 'menu-item-object' => 'page', 'menu-item-type' => 'post_type', 'menu-item-status' => 'publish' ) );
	}
	$menus[ $where ] = $menu;
}
switch_theme( 'harbour-pine' );
set_theme_mod( 'nav_menu_locations', $menus );
set_theme_mod( 'background_color', 'f4efe6' );
set_theme_mod( 'harbour_hero', array( 'image' => wp_get_attachment_image_url( $pictures[7], 'full' ), 'title' => 'Wooden boats, built by hand', 'link' => "$home/boats/" ) );
set_theme_mod( 'harbour_notice', $place( '<a href="{home}/courses/">Autumn courses</a> are open for booking' ) );
update_option( 'show_on_front', 'page' );
update_option( 'page_on_front', $pages['home'] );
update_option( 'page_for_posts', $pages['journal'] );
update_option( 'blogdescription', 'Boatbuilders on the Schlei since 1974' );
update_option( 'timezone_string', 'Europe/Berlin' );
update_option( 'posts_per_page', 8 );
update_option( 'widget_block', array( 2 => array( 'content' => $place( '<!-- wp:heading --><h2>The shed</h2><!-- /wp:heading --><!-- wp:paragraph --><p>Tue–Sat, 9–17 h<br><a href="{home}/contact/">How to find us</a></p><!-- /wp:paragraph -->' ) ), 3 => array( 'content' => '<!-- wp:latest-posts {"postsToShow":4} /-->' ), 4 => array( 'content' => $place( '<!-- wp:paragraph --><p>Write to <a href="mailto:shed@harbour-pine.example">shed@harbour-pine.example</a></p><!-- /wp:paragraph -->' ) ), '_multiwidget' => 1 ) );
update_option( 'sidebars_widgets', array( 'wp_inactive_widgets' => array(), 'sidebar-1' => array( 'block-2', 'block-3', 'block-4' ), 'array_version' => 3 ) );
activate_plugin( 'harbour-bookings/harbour-bookings.php' );
update_option( 'harbour_bookings', array( 'page' => "$home/courses/", 'confirm' => serialize( array( 'return' => "$home/thank-you/", 'again' => serialize( "$home/courses/" ) ) ), 'seats' => 8, 'price' => 420.5, 'open' => true ) );

/* The site's address in every spelling a database of some age holds. */
$host     = preg_replace( '~^https?://~', '', $home );
$spelling = array(
	'plain' => "$home/journal/", 'tls' => "https://$host/", 'relative' => "//$host/wp-content/", 'upper' => 'http://' . strtoupper( $host ) . '/',
	'www' => "http://www.$host/old/", 'urlencoded' => 'https://share.example.com/?u=' . rawurlencode( "$home/boats/" ),
	'urlencoded_lower' => strtolower( rawurlencode( "$home/boats/" ) ), 'urlencoded_twice' => rawurlencode( rawurlencode( "$home/" ) ),
	'json' => wp_json_encode( array( 'u' => "$home/" ) ), 'json_in_json' => wp_json_encode( array( 'j' => wp_json_encode( array( 'u' => "$home/" ) ) ) ),
	'serialized' => serialize( array( "$home/" ) ), 'object' => serialize( (object) array( 'u' => "$home/é" ) ), 'lookalike' => "http://{$host}1/",
	'other_domain' => "http://my-$host/", 'mail' => 'shed@' . preg_replace( '~:\d+$~', '', $host ), 'path' => ABSPATH . 'wp-content/uploads/',
);
foreach ( $spelling as $name => $value ) {
	$wpdb->insert( $wpdb->options, array( 'option_name' => "harbour_spelling_$name", 'option_value' => $value, 'autoload' => 'no' ) );
}
update_option( 'harbour_spellings', $spelling, false );
$css = wp_upload_dir( null, false )['basedir'] . '/elementor/css';
wp_mkdir_p( $css );
file_put_contents( "$css/post-{$pages['home']}.css", ".elementor-{$pages['home']} .hero{background-image:url(\"" . wp_get_attachment_url( $pictures[3] ) . "\")}\n" );
flush_rewrite_rules( false );
return array( 'posts' => count( $posts ), 'pages' => count( $pages ), 'comments' => count( $data['comments'] ) );
