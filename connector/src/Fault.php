<?php
namespace Siteferry\Connector;

defined('ABSPATH') || exit;

/** An error the client is told about: a stable code, one sentence, and the HTTP status used before a stream has begun. */
final class Fault extends \Exception {

	/** @var string */
	public $fault;

	/** @var int */
	public $status;

	public function __construct(string $fault, string $message, int $status = 400) {
		parent::__construct($message);
		$this->fault  = $fault;
		$this->status = $status;
	}
}
