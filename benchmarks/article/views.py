import hashlib
import time

import requests
from django.conf import settings
from django.core.cache import cache
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.article.models import Wxuser

TOKEN_SECONDS = 7200


class Login(APIView):
    def post(self, request):
        code = request.data.get("code")
        if not code:
            return Response({"status": 1, "msg": "缺少参数"})
        identity = requests.get(settings.CODE2SESSION_URL.format(code)).json()
        if "openid" not in identity:
            return Response({"status": 2, "msg": "无效的code", "data": "无效的code"})
        openid, session_key = identity["openid"], identity["session_key"]
        if not Wxuser.objects.filter(openid=openid).first():
            Wxuser.objects.create(openid=openid)
        token = hashlib.md5((str(time.time()) + session_key).encode()).hexdigest()
        cache.set(token, session_key + "&" + openid, TOKEN_SECONDS)
        return Response({"status": 0, "msg": "ok", "data": {"token": token}})


class Auth(APIView):
    """A view that the article does not have. Its other views would each begin with these lines."""

    def get(self, request):
        session = cache.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if session is None:
            return Response(status=401)
        return Response(status=204, headers={"X-WX-OPENID": session.split("&")[1]})
