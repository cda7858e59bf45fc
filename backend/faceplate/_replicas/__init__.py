"""Reads from replicas: how far each server is, and what each user has to find there.

`Watch` asks one server over and over, `floors` keeps what each user has seen, and `routing` chooses
the replica of a read. The package may use _driver, config and errors. `_runner` runs the units.
"""
