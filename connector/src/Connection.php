<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** Our own connection to the site's database: same credentials as WordPress, but every byte comes as it is stored. */
final class Connection {

	const CODES = array(
		1146 => 'table_gone', 1054 => 'schema_changed', 1142 => 'database_denied', 1143 => 'database_denied',
		2006 => 'database_lost', 2013 => 'database_lost', 1317 => 'database_lost', 1053 => 'database_lost', 1927 => 'database_lost',
	);

	/** Crashed, or its files are damaged, gone, or of an engine that is not there. */
	const BROKEN_TABLE = array(126, 127, 130, 131, 134, 141, 144, 145, 176, 1016, 1017, 1033, 1034, 1035, 1194, 1195, 1286, 1712, 1812, 1877, 1932);

	/** The server does not take this account, or has no such database for it. */
	const LOGIN_REFUSED = array(1044, 1045, 1049, 1130, 1251, 1275, 1524, 1698, 1862, 2059, 2061, 3118, 4151);

	const CODES_OF_WRITING = array(
		1044 => 'target_no_privilege', 1142 => 'target_no_privilege', 1143 => 'target_no_privilege', 1227 => 'target_no_privilege',
		1205 => 'target_busy', 1213 => 'target_busy', 1969 => 'target_busy', 3024 => 'target_busy',
		1021 => 'target_full', 1114 => 'target_full', 1290 => 'target_read_only', 1792 => 'target_read_only', 1836 => 'target_read_only',
	);

	/** @var \mysqli */
	private $link;

	/** @var bool */
	private $writes;

	/** @param bool $snapshot everything is read as of now @param bool $writes rows are written: what the server would cut or change is an error */
	public function __construct(bool $snapshot, bool $writes = false) {
		$this->writes = $writes;
		if (!class_exists('mysqli')) {
			throw new Fault('database_unsupported', 'PHP has no mysqli extension, so the database can not be read.');
		}
		if (!defined('DB_HOST') || !defined('DB_NAME') || (defined('DB_ENGINE') && DB_ENGINE === 'sqlite')) {
			throw new Fault('database_unsupported', 'This site keeps its data in another kind of database than MySQL.');
		}
		mysqli_report(MYSQLI_REPORT_OFF);
		$this->link = self::connect();
		// A zero date, a DST gap or a strict mode must not change what is read.
		$this->must('SET NAMES binary');
		$mode = $writes ? 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION' : '';
		$this->must("SET SESSION sql_mode = '" . $mode . "', time_zone = '+00:00'" . ($writes ? ', foreign_key_checks = 0' : ''));
		$this->link->query('SET SESSION sql_quote_show_create = 1, net_write_timeout = 600, net_read_timeout = 600');
		$this->link->query('SET SESSION max_statement_time = 0');
		$this->link->query('SET SESSION max_execution_time = 0');
		$this->link->query('SET SESSION information_schema_stats_expiry = 0');
		if ($snapshot) {
			$this->link->query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
			$this->must('START TRANSACTION WITH CONSISTENT SNAPSHOT');
		}
	}

	/** @return array<int, array<int|string, string|null>> all rows; for small results */
	public function rows(string $sql, bool $named = true): array {
		$result = $this->link->query($sql);
		if (!$result instanceof \mysqli_result) {
			throw $this->fault();
		}
		$rows = $result->fetch_all($named ? MYSQLI_ASSOC : MYSQLI_NUM);
		$result->free();
		return $rows;
	}

	/** Runs a statement that gives no rows. @return int rows it touched */
	public function run(string $sql): int {
		$this->must($sql);
		return (int) $this->link->affected_rows;
	}

	/** Runs a statement that may fail. */
	public function tried(string $sql): bool {
		return $this->link->query($sql) !== false;
	}

	/** The server's number of the last error; 0 when there was none. */
	public function errno(): int {
		return (int) $this->link->errno;
	}

	public function error(): string {
		return $this->link->error;
	}

	/** Another connection of the same account, ended. */
	public function kill(int $id): void {
		$this->link->query('KILL ' . $id);
	}

	/** Rows one at a time as they arrive; only one such result may be open. */
	public function unbuffered(string $sql): \mysqli_result {
		$result = $this->link->query($sql, MYSQLI_USE_RESULT);
		if (!$result instanceof \mysqli_result) {
			throw $this->fault();
		}
		return $result;
	}

	/** Whether an unbuffered result ended because of an error. */
	public function check(): void {
		if ($this->link->errno) {
			throw $this->fault();
		}
	}

	/** Leaves in the middle of a result, without reading what is left of it. */
	public function drop(\mysqli_result $result): void {
		$this->link->close();
		unset($result);
	}

	public function version(): string {
		return (string) $this->link->server_info;
	}

	public function quote(string $text): string {
		return "X'" . bin2hex($text) . "'";
	}

	public static function name(string $identifier): string {
		return '`' . str_replace('`', '``', $identifier) . '`';
	}

	private function must(string $sql): void {
		if ($this->link->query($sql) === false) {
			throw $this->fault();
		}
	}

	public function fault(): Fault {
		$number = $this->link->errno;
		$codes  = $this->writes ? self::CODES_OF_WRITING + self::CODES : self::CODES;
		$codes += array_fill_keys(self::BROKEN_TABLE, 'table_broken');
		return new Fault(isset($codes[$number]) ? $codes[$number] : 'database_error', 'Database error ' . $number . ': ' . $this->link->error);
	}

	/** With the first account that the server takes. */
	private static function connect(): \mysqli {
		$first = null;
		foreach (Accounts::all() as $account) {
			try {
				return self::reach($account);
			} catch (Fault $fault) {
				$first = $first === null ? $fault : $first;
			}
		}
		throw $first;
	}

	/** @param string[] $account host (read as wpdb does: port, socket, IPv6), user, password, database */
	private static function reach(array $account): \mysqli {
		global $wpdb;
		list($host, $user, $password, $database) = $account;
		$port   = 0;
		$socket = '';
		$parsed = method_exists($wpdb, 'parse_db_host') ? $wpdb->parse_db_host($host) : false;
		if (is_array($parsed)) {
			list($host, $port, $socket, $ipv6) = $parsed;
			if ($ipv6 && extension_loaded('mysqlnd')) {
				$host = '[' . $host . ']';
			}
		}
		$link = mysqli_init();
		if (!$link instanceof \mysqli) {
			throw new Fault('database_unsupported', 'mysqli can not be initialised.');
		}
		$link->options(MYSQLI_OPT_CONNECT_TIMEOUT, 10);
		$flags = defined('MYSQL_CLIENT_FLAGS') ? (int) MYSQL_CLIENT_FLAGS : 0;
		if (!@$link->real_connect((string) $host, $user, $password, $database, (int) $port, (string) $socket, $flags)) {
			$code = in_array(mysqli_connect_errno(), self::LOGIN_REFUSED, true) ? 'database_login_refused' : 'database_unreachable';
			throw new Fault($code, 'Database error ' . mysqli_connect_errno() . ': ' . mysqli_connect_error());
		}
		return $link;
	}
}
