"""The way to PostgreSQL: engines, the pool, one connection, and what its errors mean.

It alone imports asyncpg; whatever the project relies on in the driver's and the event loop's
private parts is in here. It may use settings, errors and column types, and knows neither units nor
users beyond the id that a preamble carries.
"""
