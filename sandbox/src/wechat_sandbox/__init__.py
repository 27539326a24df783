"""A substitute for `api.weixin.qq.com`, in memory, for any client or SDK."""
