"""What wxlogin costs, measured beside the article's Django service in the same run."""
