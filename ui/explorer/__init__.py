"""The Explorer's parts, put together in app.py."""
