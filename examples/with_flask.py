"""Flask with limits from a file.

gunicorn -w 2 --chdir examples with_flask:app
"""

from pathlib import Path

from flask import Flask, Response, request

from ratelimit.wsgi import RateLimitMiddleware

app = Flask(__name__)


@app.post("/v1/chat")
def chat() -> Response:
    """Answer with as many words as it charges."""
    words = ["this", "answer", "has", "as", "many", "words"]
    request.environ["ratelimit.exchange"].settle(output_tokens=len(words))
    return Response(" ".join(words), mimetype="text/plain")


app.wsgi_app = RateLimitMiddleware(  # type: ignore[method-assign]
    app.wsgi_app, policy=Path(__file__).with_name("policy.toml")
)
