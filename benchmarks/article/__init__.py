"""The baseline: the login service of a well-known article, with Django, DRF and django-redis."""
