<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** An error the client is told about: a stable code, one sentence, and the HTTP status used before a stream has begun. */
final class Fault extends \Exception {

	/** @var string */
	public $fault;

	/** @var int */
	public $status;

	/** @var array<string, mixed> names and numbers that belong to it */
	public $details;

	/** @param array<string, mixed> $details */
	public function __construct(string $fault, string $message, int $status = 400, array $details = array()) {
		parent::__construct($message);
		$this->fault   = $fault;
		$this->status  = $status;
		$this->details = $details;
	}
}
