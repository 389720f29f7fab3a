"""To hand out: a run or a comparison as one HTML file, and as tables for a paper."""
