"""What an operator asks for: `faceplate doctor` and `faceplate stats`.

Both only read, and say in words what they find. They may use all but cli and integrations.
"""
