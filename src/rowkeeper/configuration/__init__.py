"""The ground of what is configured: the file with its profiles, references to secrets, and where a value came from."""
