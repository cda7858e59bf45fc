"""A chat: a web page, a back end over faceplate, and a model that only echoes."""
