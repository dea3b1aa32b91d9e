<?php
get_header();
while ( have_posts() ) :
	the_post();
	?>
<article id="post-<?php the_ID(); ?>" <?php post_class( 'entry' ); ?>>
	<?php if ( is_singular() ) : ?>
	<h1 class="entry-title"><?php the_title(); ?></h1>
	<?php else : ?>
	<h2 class="entry-title"><a href="<?php the_permalink(); ?>"><?php the_title(); ?></a></h2>
	<?php endif; ?>
	<?php if ( 'post' === get_post_type() ) : ?>
	<p class="entry-date"><?php echo esc_html( get_the_date() ); ?>, <?php the_category( ', ' ); ?></p>
	<?php endif; ?>
	<?php the_post_thumbnail( 'large' ); ?>
	<div class="entry-content"><?php is_singular() ? the_content() : the_excerpt(); ?></div>
	<?php
	if ( is_singular() && ( comments_open() || get_comments_number() ) ) {
		comments_template();
	}
	?>
</article>
	<?php
endwhile;
the_posts_pagination();
get_footer();
