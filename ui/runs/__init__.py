"""The Runs page's parts, put together in pages/runs.py."""
