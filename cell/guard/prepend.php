<?php
/**
 * Runs before every script of a clone: our configuration and the guard count whatever wp-config.php an import brings,
 * because a constant is what it was defined as first.
 */
if (is_file(__DIR__ . '/constants.php')) {
    require_once __DIR__ . '/constants.php';
    require_once __DIR__ . '/guard.php';
}
