"""What tests stand on: real servers, real processes, a clock that they move."""
