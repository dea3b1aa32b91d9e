<?php
/* The public pages of the site, as paths with their query. */
$urls  = array( home_url( '/' ) );
$query = array( 'post_type' => array( 'post', 'page' ), 'numberposts' => -1, 'orderby' => 'ID', 'order' => 'ASC' );
foreach ( get_posts( $query ) as $post ) {
	$urls[] = get_permalink( $post );
}
foreach ( get_terms( array( 'taxonomy' => 'category', 'orderby' => 'term_id' ) ) as $term ) {
	$urls[] = get_term_link( $term );
}
$urls[] = get_author_posts_url( 1 );
$urls[] = home_url( '/?s=pine' );
$urls[] = home_url( '/?p=999999' );
$root   = preg_replace( '~^(https?://[^/]+).*$~', '$1', home_url() );
return array_map( function ( $url ) use ( $root ) {
	return substr( $url, strlen( $root ) );
}, $urls );
