/* Makes an installed template the site that was asked for. $input: title, username, password, email, users, permalinks, home. */
$admin = get_user_by( 'id', 1 );
$wpdb->update( $wpdb->users, array(
	'user_login' => $input['username'], 'user_nicename' => sanitize_title( $input['username'] ),
	'display_name' => $input['username'], 'user_email' => $input['email'],
), array( 'ID' => 1 ) );
clean_user_cache( $admin );
wp_set_password( $input['password'], 1 );
update_option( 'blogname', $input['title'] );
update_option( 'admin_email', $input['email'] );
update_option( 'admin_email_lifespan', $input['confirm_admin_email'] ? time() - 60 : time() + YEAR_IN_SECONDS );
update_option( 'fresh_site', 0 );
foreach ( $input['users'] as $user ) {
	$id = wp_insert_user( array(
		'user_login' => $user['login'], 'user_pass' => $user['password'],
		'user_email' => $user['email'], 'role' => $user['role'],
	) );
	if ( is_wp_error( $id ) ) {
		throw new RuntimeException( $id->get_error_message() );
	}
}
switch_theme( 'plain-pine' );
$wp_rewrite->init();
$wp_rewrite->set_permalink_structure( $input['permalinks'] );
delete_option( 'rewrite_rules' );
if ( $input['permalinks'] ) {
	flush_rewrite_rules( false );
}
return $wpdb->prefix;
