<?php
/* Makes the sizes of pictures as an upload does. $input['data']: attachment ids. */
require_once ABSPATH . 'wp-admin/includes/image.php';
foreach ( $input['data'] as $id ) {
	wp_update_attachment_metadata( $id, wp_generate_attachment_metadata( $id, get_attached_file( $id ) ) );
}
return count( $input['data'] );
