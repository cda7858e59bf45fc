"""SQLAlchemy limited to one user: owner criterion and the unit's ORM session.

`owner_criterion` adds the owner when a statement is compiled; `session` and `connection` make up
``scope.session``. It may use `models` and `_driver`, and knows a unit only by the protocol in
`unit`.
"""
