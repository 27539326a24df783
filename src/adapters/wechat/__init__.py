"""WeChat's server API, over httpx2."""
