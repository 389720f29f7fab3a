"""What several pages have; knows none of them."""
