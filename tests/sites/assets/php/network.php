<?php
/* Makes the network tables, as wp-admin/network.php does. */
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
foreach ( $wpdb->tables( 'ms_global' ) as $table => $prefixed ) {
	$wpdb->$table = $prefixed;
}
install_network();
$host = preg_replace( '~^https?://([^/]+).*$~', '$1', home_url() );
$wpdb->insert( $wpdb->site, array( 'id' => 1, 'domain' => $host, 'path' => '/' ) );
$wpdb->insert( $wpdb->blogs, array( 'blog_id' => 1, 'site_id' => 1, 'domain' => $host, 'path' => '/', 'registered' => '2024-03-01 10:00:00' ) );
$network_meta = array(
	'site_name' => 'The network', 'admin_email' => $input['email'], 'admin_user_id' => 1, 'registration' => 'none',
	'siteurl' => home_url( '/' ), 'site_admins' => serialize( array( get_userdata( 1 )->user_login ) ),
	'allowedthemes' => serialize( array( 'plain-pine' => true ) ), 'subdomain_install' => 0, 'active_sitewide_plugins' => serialize( array() ),
);
foreach ( $network_meta as $key => $value ) {
	$wpdb->insert( $wpdb->sitemeta, array( 'site_id' => 1, 'meta_key' => $key, 'meta_value' => $value ) );
}
update_user_meta( 1, 'primary_blog', 1 );
update_user_meta( 1, 'source_domain', $host );
return true;
