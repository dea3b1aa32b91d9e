<!DOCTYPE html>
<html <?php language_attributes(); ?>>
<head><meta charset="<?php bloginfo( 'charset' ); ?>"><?php wp_head(); ?></head>
<body <?php body_class(); ?>>
<?php wp_body_open(); ?>
<header><h1><a href="<?php echo esc_url( home_url( '/' ) ); ?>"><?php bloginfo( 'name' ); ?></a></h1>
<nav><?php wp_nav_menu( array( 'theme_location' => 'main', 'fallback_cb' => false ) ); ?></nav></header>
<main>
<?php while ( have_posts() ) : the_post(); ?>
	<article id="post-<?php the_ID(); ?>"><h2><a href="<?php the_permalink(); ?>"><?php the_title(); ?></a></h2>
	<?php the_post_thumbnail( 'medium' ); ?>
	<?php the_content(); ?>
	<?php if ( is_singular() ) { comments_template(); } ?>
	</article>
<?php endwhile; ?>
<?php the_posts_pagination(); ?>
</main>
<aside><?php dynamic_sidebar( 'side' ); ?></aside>
<?php wp_footer(); ?>
</body></html>
