<?php
/**
 * Reads the clone's mail box, newest first. Reads JSON {"box", "messages", "bytes"} from standard input, prints JSON
 * {"mails": [{"id", "time", "to", "subject", "headers", "body", "attachments"}]}. Only plain files count, and of each
 * no more than a quarter of a megabyte: the box belongs to the site, which may have put anything there.
 */

const LARGEST = 262144;

$wanted = json_decode(stream_get_contents(STDIN), true);
$names = @scandir($wanted['box'], SCANDIR_SORT_DESCENDING) ?: array();
$mails = array();
$left = (int) $wanted['bytes'];
foreach ($names as $name) {
    if (count($mails) >= $wanted['messages'] || $left <= 0) {
        break;
    }
    $mail = read_mail($wanted['box'] . '/' . $name);
    if ($mail === null) {
        continue;
    }
    $mail['id'] = substr(pathinfo($name, PATHINFO_FILENAME), 0, 100);
    $left -= strlen((string) json_encode($mail, JSON_INVALID_UTF8_SUBSTITUTE));
    if ($left > 0) {
        $mails[] = $mail;
    }
}
echo json_encode(array('mails' => $mails), JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES);

function read_mail(string $path): ?array
{
    $facts = @lstat($path);
    if ($facts === false || ($facts['mode'] & 0170000) !== 0100000) {
        return null;
    }
    $text = (string) @file_get_contents($path, false, null, 0, LARGEST);
    if (substr($path, -5) !== '.json') {
        return raw_mail($text);
    }
    $kept = json_decode($text, true, 8);
    if (!is_array($kept)) {
        return null;
    }
    $mail = array();
    foreach (array('time', 'subject', 'body') as $name) {
        $mail[$name] = is_string($kept[$name] ?? null) ? $kept[$name] : '';
    }
    foreach (array('to', 'headers', 'attachments') as $name) {
        $mail[$name] = array_slice(array_map('strval', array_filter((array) ($kept[$name] ?? array()), 'is_scalar')), 0, 100);
    }
    return $mail;
}

/** A message as PHP's mail() writes it. */
function raw_mail(string $text): array
{
    list($head, $body) = halves($text);
    $headers = headers_of($head);
    $found = array('body' => null, 'attachments' => array());
    collect($headers, $body, $found, 0);
    $lines = array();
    foreach ($headers as $name => $value) {
        $lines[] = "$name: $value";
    }
    return array(
        'time' => $headers['date'] ?? '',
        'to' => array($headers['to'] ?? ''),
        'subject' => $headers['subject'] ?? '',
        'headers' => array_slice($lines, 0, 100),
        'body' => (string) $found['body'],
        'attachments' => array_slice($found['attachments'], 0, 100),
    );
}

function halves(string $text): array
{
    $parts = preg_split('/\r?\n\r?\n/', $text, 2);
    return array((string) $parts[0], (string) ($parts[1] ?? ''));
}

function headers_of(string $head): array
{
    $headers = array();
    foreach (preg_split('/\r?\n(?![ \t])/', $head) as $line) {
        list($name, $value) = array_pad(explode(':', $line, 2), 2, '');
        $value = trim((string) preg_replace('/\r?\n[ \t]+/', ' ', $value));
        $decoded = function_exists('iconv_mime_decode') ? @iconv_mime_decode($value, 2, 'UTF-8') : $value;
        $headers[strtolower(trim($name))] = is_string($decoded) ? $decoded : $value;
    }
    return $headers;
}

/** The first text part is the body, the names of files are kept; five levels of parts are enough. */
function collect(array $headers, string $body, array &$found, int $depth): void
{
    $type = $headers['content-type'] ?? 'text/plain';
    if (preg_match('/^multipart\//i', $type) && preg_match('/boundary="?([^";]+)"?/i', $type, $match) && $depth < 5) {
        $parts = array_slice(explode('--' . $match[1], $body), 1, 50);
        foreach ($parts as $part) {
            if (substr($part, 0, 2) !== '--') {
                list($head, $inner) = halves(ltrim($part, "\r\n"));
                collect(headers_of($head), $inner, $found, $depth + 1);
            }
        }
        return;
    }
    $place = ($headers['content-disposition'] ?? '') . ';' . $type;
    if (preg_match('/(?:file)?name="?([^";]+)"?/i', $place, $match)) {
        $found['attachments'][] = basename($match[1]);
    } elseif ($found['body'] === null && preg_match('/^text\//i', $type)) {
        $found['body'] = decoded($body, strtolower($headers['content-transfer-encoding'] ?? ''));
    }
}

function decoded(string $body, string $encoding): string
{
    if ($encoding === 'base64') {
        return (string) base64_decode($body);
    }
    return $encoding === 'quoted-printable' ? quoted_printable_decode($body) : $body;
}
