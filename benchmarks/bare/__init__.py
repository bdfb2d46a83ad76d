"""The least that Django can do with a cost, for comparison: decode it and insert one row."""
