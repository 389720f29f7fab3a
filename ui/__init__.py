"""Streamlit pieces shared by app.py and pages/: what is chosen, read, drawn and offered."""
