<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** The one door: takes a request from the body, answers it, and lets nobody else print before or after. */
final class Entry {

	/** Operations that work while WordPress's plugins and theme do not. */
	const RESCUE = array('hello', 'swap', 'swap.state', 'swap.rollback');

	/** Operations that only look; every other one needs a key that was put here by somebody signed in as administrator. */
	const READS = array(
		'hello', 'inspect', 'remove', 'files.count', 'files.stream', 'files.digest', 'files.fetch', 'db.count', 'db.stream', 'db.fetch',
		'swap.state', 'snapshots', 'health',
	);

	/** @var Reply|null */
	private static $reply = null;

	public static function serve(): void {
		self::quiet();
		try {
			$key = self::key();
			if (defined('SHORTINIT') && SHORTINIT && !defined('SITEFERRY_RESCUE')) {
				throw new Fault('not_loaded', 'WordPress was loaded without its plugins.', 500);
			}
			$request = Request::open((string) file_get_contents('php://input'), $key);
		} catch (Fault $fault) {
			Reply::refuse($fault);
			return;
		}
		self::$reply = new Reply($request->nonce, $key, !empty($request->params['compress']));
		register_shutdown_function(array(self::class, 'last_words'));
		try {
			self::dispatch($request, self::$reply, $key);
		} catch (Fault $fault) {
			self::$reply->fault($fault->fault, $fault->getMessage(), $fault->details);
		} catch (\Throwable $error) {
			self::$reply->fault('php_error', self::describe($error->getMessage(), $error->getFile(), $error->getLine()));
		}
	}

	private static function dispatch(Request $request, Reply $reply, string $key): void {
		$params = $request->params;
		$budget = new Budget($params);
		if (defined('SITEFERRY_RESCUE') && !in_array($request->op, self::RESCUE, true)) {
			throw new Fault('not_loaded', 'WordPress was loaded without its plugins.', 500);
		}
		$paired = Key::load();
		if (!in_array($request->op, self::READS, true) && ($paired === null || $paired['job'] === '')) {
			throw new Fault('read_only_key', 'This key may read the site only: it was made by hand.');
		}
		switch ($request->op) {
			case 'hello':
				if (!defined('SITEFERRY_RESCUE')) {
					Removal::package();
				}
				self::result($reply, Site::hello($key));
				return;
			case 'inspect':
				self::result($reply, self::inspect($params, $key));
				return;
			case 'remove':
				Journal::guard();
				self::result($reply, Removal::now());
				return;
			case 'files.count':
				(new Files($params, $budget, $reply))->count();
				return;
			case 'files.stream':
				(new Files($params, $budget, $reply))->stream();
				return;
			case 'db.count':
				self::result($reply, (new Rows($params, $budget, $reply))->count());
				return;
			case 'db.stream':
				(new Rows($params, $budget, $reply))->stream();
				return;
			case 'db.fetch':
				(new Fetch($params, $budget, $reply))->rows();
				return;
			case 'files.fetch':
				(new Fetch($params, $budget, $reply))->files();
				return;
			case 'stage.begin':
				self::result($reply, (new Staging($params, $budget))->begin());
				return;
			case 'stage.copy':
				self::result($reply, (new Staging($params, $budget))->copy());
				return;
			case 'stage.reserve':
				self::result($reply, (new Staging($params, $budget))->reserve());
				return;
			case 'stage.apply':
				self::result($reply, (new Apply($params))->run());
				return;
			case 'stage.files':
				self::result($reply, (new StagedFiles($params))->run());
				return;
			case 'stage.sql':
				self::result($reply, (new Staging($params, $budget))->sql());
				return;
			case 'stage.drop':
				self::result($reply, (new Staging($params, $budget))->drop());
				return;
			case 'swap':
				self::result($reply, Swap::run($params));
				return;
			case 'swap.late':
				self::result($reply, Snapshots::late($params));
				return;
			case 'swap.rollback':
				self::result($reply, Rollback::run($params));
				return;
			case 'swap.state':
				self::result($reply, Snapshots::state($params));
				return;
			case 'snapshots':
				self::result($reply, Snapshots::all());
				return;
			case 'health':
				self::result($reply, Health::now($params));
				return;
			case 'files.digest':
				(new FileDigest($params, $budget, $reply))->run();
				return;
		}
		throw new Fault('unknown_op', 'This connector does not know the operation "' . $request->op . '".');
	}

	/**
	 * @param array<string, mixed> $params `target`: also what only a restore asks
	 * @return array<string, mixed>
	 */
	private static function inspect(array $params, string $key): array {
		$asked = isset($params['constants']) && is_array($params['constants']) ? $params['constants'] : array();
		$facts = Site::facts($key) + Schema::facts();
		$facts['custom_constants'] = (object) Site::custom_constants($asked);
		$facts['code_outside']     = Site::code_outside();
		return empty($params['target']) ? $facts : $facts + Target::facts();
	}

	/** @param array<string, mixed> $result */
	private static function result(Reply $reply, array $result): void {
		$reply->json('J', $result);
		$reply->end(array());
	}

	private static function key(): string {
		$key = Key::load();
		if ($key === null) {
			throw new Fault('no_key', 'The connector has no key yet: activate it once more.', 403);
		}
		if ($key['expires'] > 0 && $key['expires'] < time()) {
			$fault = new Fault('expired', 'The connector has reached its end and removed itself.', 410);
			class_exists(Reply::class); // both are needed after their files are gone
			Removal::now();
			throw $fault;
		}
		return $key['key'];
	}

	/** Nothing but our bytes may leave: no warnings, no compression by PHP, no output buffer, no shutdown hooks, no crash mail. */
	private static function quiet(): void {
		defined('DONOTCACHEPAGE') || define('DONOTCACHEPAGE', true);
		// WordPress' fatal error handler stays silent while this is set; else it would mail the site's owner.
		defined('WP_SANDBOX_SCRAPING') || define('WP_SANDBOX_SCRAPING', true);
		@ini_set('display_errors', '0');
		@ini_set('zlib.output_compression', '0');
		if (function_exists('apache_setenv')) {
			@apache_setenv('no-gzip', '1');
		}
		while (ob_get_level() > 0 && @ob_end_clean()) {
			continue;
		}
		remove_all_actions('shutdown');
		ignore_user_abort(false);
	}

	/** A fatal error (memory, time) ends the stream with a typed fault instead of just ending it. */
	public static function last_words(): void {
		$error = error_get_last();
		$fatal = E_ERROR | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR | E_PARSE;
		if (self::$reply !== null && is_array($error) && ($error['type'] & $fatal)) {
			if (!headers_sent()) {
				http_response_code(200); // PHP has set 500, and some servers put a page of their own over that
			}
			self::$reply->fault('php_fatal', self::describe($error['message'], $error['file'], $error['line']));
		}
	}

	private static function describe(string $message, string $file, int $line): string {
		$line_of_message = explode("\n", $message)[0];
		return str_replace(ABSPATH, '', $line_of_message . ' (' . basename($file) . ':' . $line . ')');
	}
}
