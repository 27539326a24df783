"""The cost of wxlogin, measured in the same run as its alternatives."""
