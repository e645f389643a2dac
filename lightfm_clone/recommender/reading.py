"""What a recommender shows of itself."""
