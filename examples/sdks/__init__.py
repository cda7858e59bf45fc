"""Programs that show each SDK over faceplate."""
