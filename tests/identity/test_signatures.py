"""Signatures with a second valid value, as an attacker makes it and a library verifies it: one budget."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ratelimit.core.request import grammar
from tests.asgi.driver import limit, mount, rules

ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES256K": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    "ES384": int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
    "ES512": int("01FF" + "F" * 63 + "A51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
}
CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "ES256": (ec.SECP256R1(), hashes.SHA256()),
    "ES256K": (ec.SECP256K1(), hashes.SHA256()),
    "ES384": (ec.SECP384R1(), hashes.SHA384()),
    "ES512": (ec.SECP521R1(), hashes.SHA512()),
}


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def signing_input(algorithm: str, subject: str) -> str:
    header = json.dumps({"alg": algorithm, "typ": "JWT"}, separators=(",", ":"))
    return f"{encoded(header.encode())}.{encoded(json.dumps({'sub': subject}).encode())}"


@dataclass
class Curve:
    """An issuer of tokens by an elliptic curve, and its verifier."""

    algorithm: str

    def __post_init__(self) -> None:
        curve, self.digest = CURVES[self.algorithm]
        self.key = ec.generate_private_key(curve)
        self.bytes = (curve.key_size + 7) // 8

    def token(self, subject: str) -> str:
        text = signing_input(self.algorithm, subject)
        r, s = decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(self.digest)))
        return f"{text}.{encoded(r.to_bytes(self.bytes, 'big') + s.to_bytes(self.bytes, 'big'))}"

    def twin(self, token: str) -> str:
        """Return what the client makes of its token: (r, n - s)."""
        text, _, part = token.rpartition(".")
        r, s = decoded(part)[: self.bytes], int.from_bytes(decoded(part)[self.bytes :], "big")
        return f"{text}.{encoded(r + (ORDERS[self.algorithm] - s).to_bytes(self.bytes, 'big'))}"

    def verify(self, token: str) -> bool:
        text, _, part = token.rpartition(".")
        signature = decoded(part)
        assert len(signature) == 2 * self.bytes
        r, s = (int.from_bytes(half, "big") for half in (signature[: self.bytes], signature[self.bytes :]))
        try:
            self.key.public_key().verify(encode_dss_signature(r, s), text.encode(), ec.ECDSA(self.digest))
        except InvalidSignature:
            return False
        return True


def sent_by_header(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + token.encode())]


SENT: dict[str, tuple[str, Callable[[str], list[tuple[bytes, bytes]]]]] = {
    "authorization": ('"header:authorization"', sent_by_header),
    "authorization as text": ('"header:authorization as text"', sent_by_header),
    "header": ('"header:x-token"', lambda token: [(b"x-token", token.encode())]),
    "cookie": ('"cookie:token"', lambda token: [(b"cookie", b"token=" + token.encode())]),
    "quoted cookie": ('"cookie:token"', lambda token: [(b"cookie", b'token="%b"' % token.encode())]),
}


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("algorithm", CURVES)
async def test_both_signatures_of_a_token_have_one_budget(algorithm: str, sent: str) -> None:
    issuer = Curve(algorithm)
    source, headers = SENT[sent]
    token = issuer.token("ann")
    twin = issuer.twin(token)
    assert twin != token
    assert issuer.verify(token)
    assert issuer.verify(twin)
    mounted = mount(rules(limit(rate="3/hour"), identities=f"account = {{ from = {source} }}"))
    spellings = [token, twin] * 3
    statuses = [(await mounted.client(headers=headers(spelling))).status for spelling in spellings]
    assert statuses == [200] * 3 + [429] * 3
    # Another token is another caller, of the same subject as well: it has another r.
    for other in (issuer.token("ann"), issuer.token("bob")):
        assert (await mounted.client(headers=headers(other))).status == 200


@pytest.mark.parametrize("algorithm", CURVES)
async def test_list_names_a_token_by_either_signature(algorithm: str) -> None:
    issuer = Curve(algorithm)
    token = issuer.token("ann")
    policy = rules(
        limit(rate="1/hour"),
        identities='account = { from = "header:authorization" }',
        more=f'[deny]\naccount = ["{token}"]',
    )
    mounted = mount(policy)
    for spelling in (token, issuer.twin(token)):
        assert (await mounted.client(headers=sent_by_header(spelling))).status == 403
    assert (await mounted.client(headers=sent_by_header(issuer.token("ann")))).status == 200


def by_hmac_512(text: bytes) -> bytes:
    code = hmac.HMAC(b"secret" * 12, hashes.SHA512())
    code.update(text)
    return code.finalize()


def of_edwards(key: Any, order: int) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    """Return what signs, and what makes (R, S + L) of a signature: lax verifiers take it."""

    def twin(signature: bytes) -> bytes:
        half = len(signature) // 2
        second = int.from_bytes(signature[half:], "little") + order
        return signature[:half] + second.to_bytes(half, "little")

    return key.sign, twin


EDWARDS = {
    "Ed25519": of_edwards(
        ed25519.Ed25519PrivateKey.generate(), 2**252 + 27742317777372353535851937790883648493
    ),
    "Ed448": of_edwards(
        ed448.Ed448PrivateKey.generate(),
        2**446 - 13818066809895115352007386748515426880336692474882178609894547503885,
    ),
}


@pytest.mark.parametrize("curve", EDWARDS)
def test_what_a_lax_verifier_takes_of_an_edwards_curve_is_one_form(curve: str) -> None:
    sign, twin = EDWARDS[curve]
    text = signing_input("EdDSA", "ann")
    signature = sign(text.encode())
    forms = {
        grammar.credential(f"Bearer {text}.{encoded(each)}".encode()) for each in (signature, twin(signature))
    }
    assert len(forms) == 1
    assert grammar.MALFORMED_VALUE not in forms


def signatures_of_one_value() -> dict[str, Callable[[bytes], bytes]]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "HS512": by_hmac_512,
        "HS256": lambda text: by_hmac_512(text)[:32],
        "HS384": lambda text: by_hmac_512(text)[:48],
        "RS256": lambda text: key.sign(text, padding.PKCS1v15(), hashes.SHA256()),
    }


@pytest.mark.parametrize(("algorithm", "sign"), signatures_of_one_value().items())
def test_forged_signature_is_another_caller(algorithm: str, sign: Callable[[bytes], bytes]) -> None:
    """Hazard: a form without the signature, by which a stranger spends the budget of an account."""
    text = signing_input(algorithm, "ann")
    token = f"{text}.{encoded(sign(text.encode()))}".encode()
    own = grammar.credential(b"Bearer " + token)
    assert own
    for forged in (text.encode() + b".", text.encode(), text.encode() + b"." + encoded(bytes(64)).encode()):
        assert grammar.credential(b"Bearer " + forged) != own
    changed = f"{text}.{encoded(b'x' + sign(text.encode())[1:])}".encode()
    assert grammar.credential(b"Bearer " + changed) != own


@pytest.mark.parametrize("algorithm", CURVES)
def test_signature_of_a_curve_cannot_be_guessed_from_the_token_s_text(algorithm: str) -> None:
    issuer = Curve(algorithm)
    token = issuer.token("ann").encode()
    own = grammar.credential(b"Bearer " + token)
    assert own
    begin = token.rindex(b".") + 1
    assert (len(own) - begin) * 6 >= 252
    assert token.startswith(own)
    text = token[:begin]
    assert grammar.credential(b"Bearer " + text + encoded(bytes(2 * issuer.bytes)).encode()) != own


LEFT_OVER = str.maketrans("AQgw", "BRhx")


@pytest.mark.parametrize("algorithm", [*CURVES, "HS256", "HS384", "HS512"])
def test_signature_that_is_not_as_it_was_written_is_malformed(algorithm: str) -> None:
    if algorithm in CURVES:
        token = Curve(algorithm).token("ann")
    else:
        text = signing_input(algorithm, "ann")
        token = f"{text}.{encoded(by_hmac_512(text.encode())[: int(algorithm[2:]) // 8])}"
    last = token[-1].translate(LEFT_OVER)
    spellings = [f"{token}=", f"{token}==", f"{token}~", f"{token[:-3]}.{token[-3:]}", f"{token[:-4]}%41"]
    # Four letters are three bytes: only what is no multiple of them leaves bits over.
    if last != token[-1] and len(token.rpartition(".")[2]) % 4:
        assert decoded(token.rpartition(".")[2]) == decoded(token.rpartition(".")[2][:-1] + last)
        spellings.append(token[:-1] + last)
    for spelling in spellings:
        form = grammar.credential(b"Bearer " + spelling.encode())
        assert form in (grammar.MALFORMED_VALUE, spelling.encode()), spelling
        # What has another number of parts is no token that a library reads.
        assert form == grammar.MALFORMED_VALUE or spelling.count(".") != 2


PASETO = [("v2", 32), ("v3", 48), ("v4", 32)]


@pytest.mark.parametrize(("version", "half"), PASETO)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("footer", ["", ".Zm9v"])
def test_paseto_has_one_form_as_well(version: str, half: int, size: int, footer: str) -> None:
    """Hazard: payload and signature are decoded before they are verified, so no letter is vouched for."""
    content, first, second = b"p" * size, b"r" * half, b"s" * half

    def form(second: bytes, tail: str = footer) -> bytes | None:
        token = f"{version}.public.{encoded(content + first + second)}{tail}"
        return grammar.credential(f"Bearer {token}".encode())

    own = form(second)
    assert own
    assert form(b"t" * half) == own
    other = f"{version}.public.{encoded(content + b'q' * half + second)}{footer}"
    assert grammar.credential(f"Bearer {other}".encode()) != own
    for tail in ("=", "==", f"{footer}=", ".", ".Zm9"):
        if (len(content) + 2 * half) % 3 or tail != "=":
            assert form(second, tail) == grammar.MALFORMED_VALUE, tail
