<?php
/**
 * Paints pictures of boats, sheds and tides. argv: a JSON file with a list of {path, seed, width, height}.
 * The same seed gives the same picture; the name's ending gives the format.
 */
foreach ( json_decode( file_get_contents( $argv[1] ), true ) as $job ) {
	paint( $job );
}

function rgb( $image, array $colour, $alpha = 0 ) {
	return imagecolorallocatealpha( $image, (int) $colour[0], (int) $colour[1], (int) $colour[2], $alpha );
}

function mix( array $a, array $b, $t ) {
	return array( $a[0] + ( $b[0] - $a[0] ) * $t, $a[1] + ( $b[1] - $a[1] ) * $t, $a[2] + ( $b[2] - $a[2] ) * $t );
}

function gradient( $image, $top, $bottom, array $a, array $b, $width ) {
	for ( $y = $top; $y < $bottom; $y++ ) {
		imageline( $image, 0, $y, $width, $y, rgb( $image, mix( $a, $b, ( $y - $top ) / max( 1, $bottom - $top ) ) ) );
	}
}

function paint( array $job ) {
	mt_srand( $job['seed'] );
	list( $w, $h ) = array( $job['width'], $job['height'] );
	$skies   = array(
		array( array( 38, 70, 110 ), array( 244, 196, 150 ) ), array( array( 120, 170, 200 ), array( 238, 240, 232 ) ),
		array( array( 28, 40, 66 ), array( 200, 120, 110 ) ), array( array( 150, 180, 190 ), array( 225, 226, 215 ) ),
		array( array( 70, 120, 160 ), array( 250, 226, 180 ) ),
	);
	list( $high, $low ) = $skies[ mt_rand( 0, 4 ) ];
	$image   = imagecreatetruecolor( $w, $h );
	$horizon = (int) ( $h * mt_rand( 45, 62 ) / 100 );
	gradient( $image, 0, $horizon, $high, $low, $w );
	$sea = mix( array( 24, 62, 78 ), $low, 0.25 );
	gradient( $image, $horizon, $h, $sea, array( 14, 36, 48 ), $w );
	$sun = mt_rand( (int) ( $w * 0.15 ), (int) ( $w * 0.85 ) );
	for ( $r = 6; $r > 0; $r-- ) {
		imagefilledellipse( $image, $sun, $horizon - 60, $h * $r / 9, $h * $r / 9, rgb( $image, array( 255, 244, 214 ), 118 ) );
	}
	imagefilledellipse( $image, $sun, $horizon - 60, $h / 11, $h / 11, rgb( $image, array( 255, 250, 232 ) ) );
	for ( $layer = 0; $layer < 3; $layer++ ) {
		hills( $image, $w, $horizon, $layer, mix( $low, array( 30, 56, 60 ), 0.35 + 0.25 * $layer ) );
	}
	for ( $n = 0; $n < 70; $n++ ) {
		$y = mt_rand( $horizon + 4, $h - 4 );
		$x = abs( $y - $horizon ) < 120 && $n % 2 ? $sun + mt_rand( -90, 90 ) : mt_rand( 0, $w );
		imageline( $image, $x, $y, $x + mt_rand( 20, 140 ), $y, rgb( $image, array( 255, 246, 220 ), 96 ) );
	}
	boat( $image, mt_rand( (int) ( $w * 0.25 ), (int) ( $w * 0.7 ) ), $horizon + (int) ( ( $h - $horizon ) * 0.45 ), $w / mt_rand( 3, 5 ) );
	if ( mt_rand( 0, 1 ) ) {
		boat( $image, mt_rand( 80, $w - 80 ), $horizon + 14, $w / 14 );
	}
	save( $image, $job['path'] );
}

function hills( $image, $w, $horizon, $layer, array $colour ) {
	$points = array( 0, $horizon );
	$height = 90 - 26 * $layer;
	for ( $x = 0; $x <= $w; $x += 40 ) {
		$points[] = $x;
		$points[] = (int) ( $horizon - $height * ( 0.35 + 0.5 * abs( sin( $x / ( 160 + 70 * $layer ) + mt_rand( 0, 100 ) / 400 + $layer * 2 ) ) ) );
	}
	array_push( $points, $w, $horizon );
	imagefilledpolygon( $image, $points, rgb( $image, $colour ) );
}

function boat( $image, $x, $y, $size ) {
	$hulls = array( array( 122, 60, 34 ), array( 24, 40, 62 ), array( 150, 40, 36 ), array( 40, 82, 66 ), array( 206, 176, 120 ) );
	$hull  = $hulls[ mt_rand( 0, 4 ) ];
	$half  = $size / 2;
	$deep  = $size / 6;
	imagefilledellipse( $image, (int) $x, (int) ( $y + $deep * 0.9 ), (int) ( $size * 1.1 ), (int) ( $deep * 0.6 ), rgb( $image, array( 8, 24, 34 ), 70 ) );
	$body = array( $x - $half, $y - $deep * 0.5, $x - $half * 0.72, $y + $deep * 0.7, $x + $half * 0.62, $y + $deep * 0.7, $x + $half, $y - $deep * 0.6, $x, $y - $deep * 0.1 );
	imagefilledpolygon( $image, array_map( 'intval', $body ), rgb( $image, $hull ) );
	for ( $n = 0; $n < 4; $n++ ) {
		$plank = (int) ( $y + $deep * ( 0.05 + 0.16 * $n ) );
		imageline( $image, (int) ( $x - $half * ( 0.88 - 0.05 * $n ) ), $plank, (int) ( $x + $half * ( 0.86 - 0.07 * $n ) ), $plank, rgb( $image, mix( $hull, array( 255, 240, 210 ), 0.25 ) ) );
	}
	$mast = $y - $size * 0.95;
	imagesetthickness( $image, max( 2, (int) ( $size / 80 ) ) );
	imageline( $image, (int) $x, (int) $y, (int) $x, (int) $mast, rgb( $image, array( 92, 62, 40 ) ) );
	imagesetthickness( $image, 1 );
	$cloth = mt_rand( 0, 2 ) ? array( 244, 236, 218 ) : array( 170, 70, 48 );
	imagefilledpolygon( $image, array_map( 'intval', array( $x + $size * 0.02, $mast + $size * 0.06, $x + $size * 0.02, $y - $deep * 0.7, $x + $half * 0.86, $y - $deep * 0.8 ) ), rgb( $image, $cloth ) );
	imagefilledpolygon( $image, array_map( 'intval', array( $x - $size * 0.02, $mast + $size * 0.16, $x - $size * 0.02, $y - $deep * 0.7, $x - $half * 0.74, $y - $deep * 0.6 ) ), rgb( $image, mix( $cloth, array( 60, 70, 80 ), 0.18 ) ) );
}

function save( $image, $path ) {
	if ( ! is_dir( dirname( $path ) ) ) {
		@mkdir( dirname( $path ), 0755, true ); // the other painter may be faster
	}
	switch ( pathinfo( $path, PATHINFO_EXTENSION ) ) {
		case 'png':
			imagepng( $image, $path, 4 );
			break;
		case 'webp':
			imagewebp( $image, $path, 80 );
			break;
		default:
			imagejpeg( $image, $path, 84 );
	}
	imagedestroy( $image );
}
