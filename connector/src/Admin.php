<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Tools > Siteferry: shows the pairing key of a connector that was installed by hand. */
final class Admin {

	const PAGE = 'siteferry-connector';

	public static function menu(): void {
		if (self::allowed()) {
			add_management_page('Siteferry', 'Siteferry', 'manage_options', self::PAGE, array(self::class, 'show'));
		}
	}

	public static function show(): void {
		if (!self::allowed()) {
			wp_die('You may not see this page.', '', array('response' => 403));
		}
		$key = Key::load();
		if ($key === null) {
			$intro = 'The connector has no key yet. Make one to pair this site.';
		} elseif ($key['job'] !== '') {
			$intro = 'Siteferry installed this connector and removes it when the job is done. There is nothing to do here.';
		} else {
			$intro = 'Paste this pairing key into Siteferry. Whoever has it can read this site until '
				. gmdate('Y-m-d H:i', $key['expires']) . ' UTC.';
		}
		echo '<div class="wrap"><h1>Siteferry</h1><p>' . esc_html($intro) . '</p>';
		if ($key !== null && $key['job'] === '') {
			$pairing = esc_attr(Key::pairing($key['key']));
			echo '<p><input id="siteferry-key" class="large-text code" type="text" readonly autocomplete="off" value="' . $pairing . '" onfocus="this.select()"></p>';
			echo '<p><button type="button" class="button button-primary" onclick="var k=document.getElementById(\'siteferry-key\');k.select();'
				. 'if(navigator.clipboard){navigator.clipboard.writeText(k.value)}else{document.execCommand(\'copy\')}">Copy</button></p>';
		}
		if ($key === null || $key['job'] === '') {
			echo '<form method="post" action="' . esc_url(admin_url('admin-post.php')) . '"><input type="hidden" name="action" value="siteferry_key">';
			wp_nonce_field('siteferry_key');
			echo '<p><button class="button">Make a new key</button> The old one stops working at once.</p></form>';
		}
		echo '</div>';
	}

	public static function regenerate(): void {
		if (!self::allowed()) {
			wp_die('You may not do this.', '', array('response' => 403));
		}
		check_admin_referer('siteferry_key');
		if (!Key::generate()) {
			wp_die('The key could not be written: the plugin directory is not writable.', '', array('response' => 500));
		}
		wp_safe_redirect(admin_url('tools.php?page=' . self::PAGE));
		exit;
	}

	private static function allowed(): bool {
		return current_user_can('manage_options') && current_user_can('install_plugins');
	}
}
