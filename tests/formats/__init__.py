"""An example of each format, of the project's own making, that uses everything in it."""
