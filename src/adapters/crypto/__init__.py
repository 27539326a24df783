"""Encryption of what the stores keep. The stores may import it, and it imports no other adapter."""
