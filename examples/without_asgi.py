"""The limiter as a plain object: in a worker, a queue, a command.

python examples/without_asgi.py
"""

from pathlib import Path

from ratelimit import Limiter


def main() -> list[str]:
    """Ask seven times for one account; five fit."""
    limiter = Limiter(Path(__file__).with_name("policy.toml"))
    lines = []
    for number in range(1, 8):
        with limiter.decide(
            method="POST", path="/v1/chat", identities={"account": "me"}, client="::1"
        ) as decision:
            if decision.allowed:
                decision.settle(output_tokens=100)
                left = {verdict.limit: verdict.remaining for verdict in decision.verdicts}
                lines.append(f"{number}: allowed, remaining {left}")
            else:
                wait_s = (decision.retry_after_ns or 0) / 1e9
                lines.append(f"{number}: refused by {decision.limit!r}, retry in {wait_s:.1f} s")
    limiter.close()
    return lines


if __name__ == "__main__":
    print("\n".join(main()))
