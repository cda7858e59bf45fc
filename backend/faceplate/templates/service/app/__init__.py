"""The service: conversations with streamed replies, and reminders."""
