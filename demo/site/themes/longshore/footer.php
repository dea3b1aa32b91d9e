</main>
<footer class="site-footer">
	<div class="widgets"><?php dynamic_sidebar( 'sidebar-1' ); ?></div>
	<div><?php wp_nav_menu( array( 'theme_location' => 'footer', 'container' => false, 'menu_class' => 'menu', 'fallback_cb' => false ) ); ?></div>
</footer>
<?php wp_footer(); ?>
</body>
</html>
