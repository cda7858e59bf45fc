"""Connections to PostgreSQL: engines, the pool, pipelining, and error mapping.

Only this package imports asyncpg, and only it uses private parts of asyncpg and asyncio. It may use
settings, errors, column types and the words of constraints. It knows no units, and of users only
the id in a preamble.
"""
