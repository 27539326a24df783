"""A project in one file that uses wxlogin.py. Run it with `python app.py runserver`."""

import sys

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["wxlogin.WxloginAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "UNAUTHENTICATED_USER": None,
    },
)

from django.core.management import execute_from_command_line  # noqa: E402  # after the settings
from django.urls import path  # noqa: E402
from rest_framework.decorators import api_view  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402


@api_view()
def orders(request: Request) -> Response:
    """Use the caller."""
    return Response({"user_id": request.user.id, "openid": request.user.openid, "appid": request.user.appid})


urlpatterns = [path("orders", orders)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
