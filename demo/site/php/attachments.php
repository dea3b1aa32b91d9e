<?php
/* Adds the pictures to the media library, in order. $input['data']: list of {file, title, date}. Returns their ids. */
$ids = array();
foreach ( $input['data'] as $picture ) {
	$upload = wp_upload_dir( null, false );
	$id     = wp_insert_attachment( array(
		'post_title' => $picture['title'], 'post_mime_type' => wp_check_filetype( $picture['file'] )['type'], 'post_status' => 'inherit',
		'post_date' => $picture['date'], 'post_date_gmt' => $picture['date'], 'guid' => $upload['baseurl'] . '/' . $picture['file'],
		'post_excerpt' => $picture['title'],
	), $upload['basedir'] . '/' . $picture['file'] );
	update_post_meta( $id, '_wp_attachment_image_alt', $picture['title'] );
	$ids[] = $id;
}
return $ids;
