"""SQLAlchemy held to one user: the owner added where SQL is made, and a unit's own session.

`owner_criterion` compiles each statement with its owner; `session` and `connection` are what
``scope.session`` is made of. It may use models and _driver, and knows a unit by the protocol in
`unit` alone.
"""
