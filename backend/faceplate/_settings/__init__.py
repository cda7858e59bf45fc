"""How `Settings` reads its values and reports the wrong ones.

It reads the environment and ``.env``, checks keys and files, and describes each problem without
showing a secret. It may use database_url and errors.
"""
