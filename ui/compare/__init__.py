"""The Compare page's parts, put together in pages/compare.py."""
