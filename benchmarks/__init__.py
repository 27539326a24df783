"""What wxlogin costs, measured beside what a user would take instead, in the same run."""
