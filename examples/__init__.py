"""Small applications over faceplate."""
