"""Who am I, and the tokens with which programs sign in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from knox.models import AuthToken
from rest_framework import generics, serializers
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.base import CursorPagination
from accounts.api.person import person
from accounts.errors import Refused
from accounts.models import User, WorkspaceMembership
from accounts.services import choose_language, create_token, revoke_token


class WorkspaceRoleSerializer(serializers.ModelSerializer[WorkspaceMembership]):
    id = serializers.UUIDField(source="workspace.public_id")
    name = serializers.CharField(source="workspace.name")
    role = serializers.CharField()

    class Meta:
        model = WorkspaceMembership
        fields = ["id", "name", "role"]


class MeSerializer(serializers.ModelSerializer[User]):
    id = serializers.UUIDField(source="public_id")
    name = serializers.SerializerMethodField()
    workspaces = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ["id", "username", "name", "timezone", "language", "workspaces"]

    def get_name(self, user: User) -> str:
        return str(user)

    @extend_schema_field(WorkspaceRoleSerializer(many=True))
    def get_workspaces(self, user: User) -> Any:
        seats = user.workspace_memberships.select_related("workspace").order_by("workspace_id")
        return WorkspaceRoleSerializer(seats, many=True).data


class MyLanguageSerializer(serializers.Serializer[None]):
    language = serializers.CharField(max_length=10, allow_blank=True, help_text="Empty leaves it to the browser.")


class LoginSerializer(serializers.Serializer[None]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False)


class TokenSerializer(serializers.ModelSerializer[AuthToken]):
    key = serializers.CharField(source="token_key", help_text="The token's first characters: its name, not its secret.")

    class Meta:
        model = AuthToken
        fields = ["key", "created", "expiry"]


class NewTokenSerializer(TokenSerializer):
    token = serializers.CharField(help_text="Send it as `Authorization: Token …`; it is not shown again.")

    class Meta(TokenSerializer.Meta):
        fields = ["key", "created", "expiry", "token"]


class Me(APIView):
    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """The signed-in user and their roles."""
        return Response(MeSerializer(person(request)).data)

    @extend_schema(request=MyLanguageSerializer, responses=MeSerializer)
    def patch(self, request: Request) -> Response:
        """Choose the language of your pages."""
        asked = MyLanguageSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        choose_language(user=person(request), **asked.validated_data)
        return Response(MeSerializer(person(request)).data)


class TokenPagination(CursorPagination):
    ordering = "-created"


class TokenList(generics.ListAPIView[AuthToken]):
    serializer_class = TokenSerializer
    pagination_class = TokenPagination
    queryset = AuthToken.objects.none()

    def get_permissions(self) -> Sequence[BasePermission]:
        # Whoever signs in is not signed in yet.
        return [AllowAny()] if self.request.method == "POST" else [IsAuthenticated()]

    def get_queryset(self) -> QuerySet[AuthToken]:
        return AuthToken.objects.filter(user_id=self.request.user.pk or 0)

    @extend_schema(request=LoginSerializer, responses={201: NewTokenSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Exchange a user name and password for a token."""
        asked = LoginSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user = authenticate(request._request, **asked.validated_data)
        if not isinstance(user, User):
            raise Refused(_("The user name or the password is wrong."), code="credentials_wrong", status=401)
        token, text = create_token(user=user)
        user_logged_in.send(sender=User, request=request._request, user=user)
        return Response({**TokenSerializer(token).data, "token": text}, status=201)


class TokenDetail(APIView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Revoke one of your tokens."""
        revoke_token(user=person(request), token_key=key)
        return Response(status=204)


class Logout(APIView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """Revoke the token that this request was made with."""
        if not isinstance(request.auth, AuthToken):
            raise Refused(_("This request was not made with a token."), code="no_token")
        revoke_token(user=person(request), token_key=request.auth.token_key)
        return Response(status=204)
