<section class="comments">
	<?php if ( have_comments() ) : ?>
	<h2><?php comments_number(); ?></h2>
	<ol class="comment-list"><?php wp_list_comments( array( 'style' => 'ol', 'short_ping' => true, 'avatar_size' => 0 ) ); ?></ol>
	<?php endif; ?>
	<?php comment_form(); ?>
</section>
