"""JSON Web Tokens and keys, by joserfc."""
