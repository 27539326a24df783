"""What a user can do. Imports domain only."""
