"""One unit's transaction: when it begins, what it sends, when it is usable.

`transaction` sends BEGIN with the first statement that needs it, or sends a statement that commits
by itself; `session_transaction` adds the ORM session. It may use `statement`, `_orm` and `_driver`;
`scope` adds what units call.
"""
