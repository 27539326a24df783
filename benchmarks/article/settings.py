"""The settings of the article, without those that would only slow it down: no middleware, no authentication."""

import os
from urllib.parse import unquote, urlsplit

DEBUG = False
SECRET_KEY = "benchmark"  # signs nothing, because there is no session and no form
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.article.urls"
INSTALLED_APPS = ["rest_framework", "benchmarks.article"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

database = urlsplit(os.environ["ARTICLE_DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": f"django.db.backends.{database.scheme.replace('sqlite', 'sqlite3')}",
        "NAME": unquote(database.path[1:]),
        "USER": unquote(database.username or ""),
        "PASSWORD": unquote(database.password or ""),
        "HOST": database.hostname or "",
        "PORT": database.port or "",
        "CONN_MAX_AGE": None,  # Django's default is a new connection for every request
    }
}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": os.environ["ARTICLE_REDIS_URL"],
        "OPTIONS": {
            "CLIENT_CLASS": "django_redis.client.DefaultClient",
            "CONNECTION_POOL_KWARGS": {"max_connections": 100},
        },
    }
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,  # the default would need django.contrib.auth
}
CODE2SESSION_URL = (
    os.environ["ARTICLE_WECHAT_URL"]
    + "/sns/jscode2session?appid=wx0123456789abcdef&secret=0123456789abcdef0123456789abcdef"
    + "&js_code={}&grant_type=authorization_code"
)
