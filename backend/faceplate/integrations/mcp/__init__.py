"""MCP by its official SDK: tokens kept encrypted, client sessions, a server over a user's chats."""
