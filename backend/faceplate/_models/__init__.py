"""What models are made of: their base, and the words of their constraints.

`faceplate.models` declares the tables on it, and a project declares its own. It may use column
types and errors, and knows no table.
"""
