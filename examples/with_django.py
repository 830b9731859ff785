"""Django with limits from a file, for WSGI and for ASGI servers.

gunicorn -w 2 --chdir examples with_django:application
uvicorn --app-dir examples --workers 2 with_django:asgi_application
"""

from pathlib import Path

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

import ratelimit
import ratelimit.wsgi

POLICY = Path(__file__).with_name("policy.toml")


@require_POST
def chat(request: HttpRequest) -> HttpResponse:
    """Answer with as many words as it charges."""
    words = ["this", "answer", "has", "as", "many", "words"]
    exchange = request.META.get("ratelimit.exchange") or request.scope["ratelimit"]  # WSGI or ASGI
    exchange.settle(output_tokens=len(words))
    return HttpResponse(" ".join(words), content_type="text/plain")


# What a project has in settings.py and urls.py.
urlpatterns = [path("v1/chat", chat)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of an example", MIDDLEWARE=[])
django.setup()

# wsgi.py
application = ratelimit.wsgi.RateLimitMiddleware(get_wsgi_application(), policy=POLICY)

# asgi.py
asgi_application = ratelimit.RateLimitMiddleware(get_asgi_application(), policy=POLICY)
