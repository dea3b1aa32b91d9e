<?php
/**
 * Puts a wp-config.php that loads ours above a WordPress that lies in a folder of the document root: there the place
 * one level up is among the site's own files. Reads JSON {"stub", "config"} from standard input, prints {"placed"}.
 */

$wanted = json_decode(stream_get_contents(STDIN), true);
$stub = (string) $wanted['stub'];
if (!is_dir(dirname($stub))) {
    mkdir(dirname($stub), 0755, true);
}
if (is_link($stub) || is_file($stub)) {
    unlink($stub);
}
$text = "<?php\n// Written by Siteferry: the configuration of this clone lies outside of its files.\n"
    . 'require ' . var_export((string) $wanted['config'], true) . ";\n";
echo json_encode(array('placed' => file_put_contents($stub, $text) === strlen($text)));
