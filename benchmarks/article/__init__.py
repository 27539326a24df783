"""The baseline: the login service as a well-known article builds it, with Django, DRF and django-redis."""
