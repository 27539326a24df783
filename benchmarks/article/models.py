from django.db import models


class Wxuser(models.Model):
    # The article has no index here. With an index, the number of users does not decide the comparison.
    openid = models.CharField(max_length=255, db_index=True)
    name = models.CharField(max_length=50)
    avatar = models.CharField(max_length=200)
    language = models.CharField(max_length=50)
    province = models.CharField(max_length=50)
    city = models.CharField(max_length=50)
    country = models.CharField(max_length=50)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)
