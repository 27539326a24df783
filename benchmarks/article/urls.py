from django.urls import path

from benchmarks.article.views import Auth, Login

urlpatterns = [path("login/", Login.as_view()), path("auth", Auth.as_view())]
