<?php
get_header();
$hero = get_theme_mod( 'harbour_hero', array( 'image' => '', 'title' => get_bloginfo( 'name' ), 'link' => home_url( '/' ) ) );
?>
<section class="harbour-hero alignfull" style="background-image:url('<?php echo esc_url( $hero['image'] ); ?>')">
	<div><h1><?php echo esc_html( $hero['title'] ); ?></h1><a href="<?php echo esc_url( $hero['link'] ); ?>">See our boats</a></div>
</section>
<section class="harbour-cards alignfull">
<?php foreach ( get_posts( array( 'numberposts' => 8 ) ) as $card ) : ?>
	<article class="harbour-card">
		<a href="<?php echo esc_url( get_permalink( $card ) ); ?>"><?php echo get_the_post_thumbnail( $card, 'medium_large' ); ?></a>
		<div><h3><a href="<?php echo esc_url( get_permalink( $card ) ); ?>"><?php echo esc_html( get_the_title( $card ) ); ?></a></h3>
		<p><?php echo esc_html( $card->post_excerpt ); ?></p></div>
	</article>
<?php endforeach; ?>
</section>
<?php while ( have_posts() ) : the_post(); ?>
<div class="entry-content"><?php the_content(); ?></div>
<?php endwhile; ?>
<?php
get_footer();
