"""How it is done. One package a technology; they do not know each other."""
