"""One transaction of one unit: what goes ahead of a statement, and how long it lives.

`transaction` begins it with the first statement that needs it; `single_statement` sends one
that is its own COMMIT. It may use statements, _orm and _driver; scopes add to it what units call.
"""
