<?php
// What a protection service in front of the host answers to anything that is not a browser.
http_response_code( 403 );
header( 'Content-Type: text/html; charset=UTF-8' );
header( 'cf-mitigated: challenge' );
header( 'cf-ray: 8f0c0ffee0123456-FRA' );
header( 'Cache-Control: private, max-age=0, no-store' );
echo '<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>',
	'<meta name="robots" content="noindex,nofollow"></head>',
	'<body><noscript>Enable JavaScript and cookies to continue</noscript>',
	'<script>(function(){window._cf_chl_opt={cvId:"3",cType:"managed"};})();</script>',
	'<script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1?ray=8f0c0ffee0123456"></script></body></html>';
exit;
