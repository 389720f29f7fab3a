"""The Story page's parts, put together in pages/story.py."""
