"""The Ticket page's parts, put together in pages/ticket.py."""
