"""The runner around a unit: attempts, retries, COMMITs in doubt, shutdown.

`attempt` is one connection from check-out to check-in, `retry` decides whether another attempt
follows, `commit_outcome` asks the server about a COMMIT in doubt, and `shutdown` waits for calls in
flight. It may use scopes and everything below them, and knows no service.
"""
