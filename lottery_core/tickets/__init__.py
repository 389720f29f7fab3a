"""Tickets as things: files to take away, and files brought back."""
