<?php
/**
 * Where pictures stayed on the source (ADR 59): a new upload takes no name that one of them has, for PHP does not see
 * their files here. Else the new one would hide the other, and a restore could not bring it.
 */

namespace Siteferry\Guard;

/** A file name that neither a file nor an attachment of this folder has. */
function free_name($filename, $extension, $folder)
{
    $uploads = wp_get_upload_dir();
    $base = rtrim((string) $uploads['basedir'], '/');
    if (strpos($folder . '/', $base . '/') !== 0) {
        return $filename;
    }
    $below = ltrim(substr($folder, strlen($base)) . '/', '/');
    $stem = $extension === '' ? $filename : substr($filename, 0, -strlen($extension));
    $name = $filename;
    for ($number = 1; $number < 10000 && (is_attached($below, $name) || file_exists($folder . '/' . $name)); $number++) {
        $name = $stem . '-' . $number . $extension;
    }
    return $name;
}

function is_attached(string $below, string $name): bool
{
    global $wpdb;
    $dot = (int) strrpos($name, '.');
    $stem = $dot ? substr($name, 0, $dot) : $name;
    $extension = $dot ? substr($name, $dot) : '';
    $stems = array($stem, $stem . '-scaled', $stem . '-rotated', (string) preg_replace('/-\d+x\d+$/D', '', $stem));
    $names = array();
    foreach ($stems as $one) {
        $names[] = $below . $one . $extension;
    }
    $places = implode(', ', array_fill(0, count($names), '%s'));
    $query = "SELECT 1 FROM $wpdb->postmeta WHERE meta_key = '_wp_attached_file' AND meta_value IN ($places) LIMIT 1";
    return $wpdb->get_var($wpdb->prepare($query, $names)) !== null;
}

hook('wp_unique_filename', __NAMESPACE__ . '\\free_name', 3);
