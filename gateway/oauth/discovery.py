"""Where everything of the authorization server is found: SMART configuration, RFC 8414 metadata, addresses."""

from __future__ import annotations

from typing import Any, Final

from gateway.settings import Settings

ALGORITHMS: Final = ("RS384", "ES384", "PS256", "ES256", "Ed25519", "EdDSA")
_SCOPES: Final = ("system/*.cruds", "system/*.rs", "user/*.cruds", "user/*.rs", "patient/*.rs")


def issuer(settings: Settings) -> str:
    """The identifier of this authorization server, exactly as `iss` carries it."""
    return settings.gateway.base.rstrip("/")


def audience(settings: Settings) -> str:
    """The FHIR base URL: what access tokens are for."""
    return issuer(settings) + "/fhir"


def token_endpoint(settings: Settings) -> str:
    """Where tokens are asked for."""
    return issuer(settings) + "/oauth/token"


def introspection_endpoint(settings: Settings) -> str:
    """Where tokens are inspected."""
    return issuer(settings) + "/oauth/introspect"


def revocation_endpoint(settings: Settings) -> str:
    """Where tokens are taken back."""
    return issuer(settings) + "/oauth/revoke"


def smart_configuration(settings: Settings) -> dict[str, Any]:
    """What `/fhir/.well-known/smart-configuration` answers.

    Spec: SMART App Launch 2.2.0, 'Conformance', well-known metadata.
    """
    return _metadata(settings) | {
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        # Required by the specification even where nobody is sent to an authorization endpoint.
        "code_challenge_methods_supported": ["S256"],
    }


def server_metadata(settings: Settings) -> dict[str, Any]:
    """What `/.well-known/oauth-authorization-server` answers.

    Spec: RFC 8414 section 2.
    """
    return _metadata(settings)


def _metadata(settings: Settings) -> dict[str, Any]:
    root = issuer(settings)
    by_certificate = ["tls_client_auth", "self_signed_tls_client_auth"]
    methods = ["private_key_jwt", *(by_certificate if settings.gateway.client_certificate_header else ())]
    return {
        "issuer": root,
        "token_endpoint": token_endpoint(settings),
        "jwks_uri": root + "/oauth/jwks",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_endpoint": introspection_endpoint(settings),
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint": revocation_endpoint(settings),
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "scopes_supported": list(_SCOPES),
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": bool(settings.gateway.client_certificate_header),
    }
