"""Findings as charts: data frames and curves -> Plotly figures."""
