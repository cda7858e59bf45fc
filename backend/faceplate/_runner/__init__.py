"""What `Database.run` does around a unit: an attempt, its retry, the outcome of a lost COMMIT.

`attempt` is one connection from check-out to check-in, `retry` says when there is another one, and
`in_flight` with `shutdown` is what `Database.dispose` waits for. It may use scopes and all below
them, and knows no service.
"""
