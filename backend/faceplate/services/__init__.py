"""The units of faceplate's tables: async functions whose first parameter is a scope."""
