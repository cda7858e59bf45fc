"""The sides of the comparison that need nothing but faceplate's own dependencies."""
