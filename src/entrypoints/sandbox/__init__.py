"""A stand-in for `api.weixin.qq.com`, in memory, that any client or SDK can be pointed at."""
