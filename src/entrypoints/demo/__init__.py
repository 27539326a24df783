"""`wxlogin demo`: the service and a WeChat sandbox in one process."""
