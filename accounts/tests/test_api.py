from __future__ import annotations

import pytest
from django.urls import reverse
from knox.models import AuthToken
from rest_framework.test import APIClient

from accounts.services import create_token
from tests.cast import PASSWORD, Cast, api

TOKENS = "/api/v1/tokens/"


def with_token(text: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {text}")
    return client


def sign_in(username: str, password: str = PASSWORD) -> dict[str, str]:
    response = APIClient().post(TOKENS, {"username": username, "password": password}, format="json")
    assert response.status_code == 201
    return response.json()  # type: ignore[no-any-return]


def test_a_token_opens_the_api_until_it_is_revoked(cast: Cast) -> None:
    token = sign_in("max")
    client = with_token(token["token"])

    assert client.get("/api/v1/me/").json() == {
        "id": str(cast.manager.public_id),
        "username": "max",
        "name": "Max",
        "timezone": "",
        "language": "",
        "workspaces": [{"id": str(cast.workspace.public_id), "name": "Plumb Lab", "role": "manager"}],
    }
    # Only a hash is stored.
    assert token["token"] not in str(list(AuthToken.objects.values_list()))
    assert client.delete(f"{TOKENS}{token['key']}/").status_code == 204
    assert client.get("/api/v1/me/").status_code == 401


def test_signing_out_revokes_this_token_and_no_other(cast: Cast) -> None:
    first, second = sign_in("alice"), sign_in("alice")

    assert with_token(first["token"]).post(f"{TOKENS}logout/").status_code == 204

    assert with_token(first["token"]).get("/api/v1/me/").status_code == 401
    assert with_token(second["token"]).get("/api/v1/me/").status_code == 200
    assert api(cast.alice).post(f"{TOKENS}logout/").json()["error"]["code"] == "no_token"


def test_everybody_lists_and_revokes_their_own_tokens_only(cast: Cast) -> None:
    mine = {create_token(user=cast.alice)[0].token_key for _turn in range(3)}
    theirs, _text = create_token(user=cast.bob)

    listed = api(cast.alice).get(TOKENS).json()["results"]

    assert {row["key"] for row in listed} == mine
    assert all(set(row) == {"key", "created", "expiry"} for row in listed)
    refused = api(cast.alice).delete(f"{TOKENS}{theirs.token_key}/")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "token_unknown")
    assert AuthToken.objects.filter(user=cast.bob).exists()


@pytest.mark.parametrize(("username", "password"), [("max", "wrong"), ("nobody", PASSWORD), ("max", PASSWORD + " ")])
def test_a_wrong_password_and_an_unknown_name_sound_the_same(cast: Cast, username: str, password: str) -> None:
    response = APIClient().post(TOKENS, {"username": username, "password": password}, format="json")

    assert response.status_code == 401
    assert response.json()["error"] == {
        "code": "credentials_wrong",
        "message": "The user name or the password is wrong.",
        "details": {},
    }
    assert not AuthToken.objects.exists()


def test_an_inactive_user_gets_no_token(cast: Cast) -> None:
    cast.alice.is_active = False
    cast.alice.save()

    assert APIClient().post(TOKENS, {"username": "alice", "password": PASSWORD}, format="json").status_code == 401


@pytest.mark.parametrize(
    "body", [b'{"username": "max\\ud800", "password": "x"}', b'{"username": "\\u0000", "password": "x"}']
)
def test_broken_text_is_refused_before_it_reaches_the_database(cast: Cast, body: bytes) -> None:
    response = APIClient().post(TOKENS, body, content_type="application/json")

    assert (response.status_code, response.json()["error"]["code"]) in {(400, "lone_surrogate"), (400, "nul_byte")}


def test_nobody_signed_in_reads_nothing(db: None) -> None:
    for method, url in (
        ("get", "/api/v1/me/"),
        ("get", TOKENS),
        ("delete", f"{TOKENS}x/"),
        ("post", f"{TOKENS}logout/"),
    ):
        assert getattr(APIClient(), method)(url).status_code == 401


def test_the_schema_has_every_route(cast: Cast) -> None:
    schema = api(cast.owner).get(reverse("schema") + "?format=json").content.decode()

    for path in ("/api/v1/me/", "/api/v1/tokens/", "/api/v1/tokens/logout/", "/api/v1/tokens/{key}/"):
        assert f'"{path}"' in schema
