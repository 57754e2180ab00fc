"""Keys, and the seal on everything that lies in files."""
