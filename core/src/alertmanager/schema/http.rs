//! `http_config` and its parts, as of the module `github.com/prometheus/common/config`.

use super::{
    Field, Format, More, Names, Nulls, Object, PLAIN, Rule, Type, at_most_one, boolean, formatted, list, map,
    more, object, one_of, secret, text,
};

/// The field that every integration that speaks HTTP has.
pub(super) const HTTP_CONFIG: Field = object("http_config", &HTTP);

const TOKEN: Type = Type::Text(Format::Header);

/// `http_config`.
pub(in crate::alertmanager) static HTTP: Object = Object {
    name: "http_config",
    fields: &[
        &[
            object("basic_auth", &BASIC_AUTH),
            object("authorization", &AUTHORIZATION),
            object("oauth2", &OAUTH2),
            formatted("bearer_token", Format::Header).secret(),
            text("bearer_token_file"),
            object("tls_config", &TLS),
            boolean("follow_redirects"),
            boolean("enable_http2"),
            map("http_headers", &Type::Object(&HEADER)).since(28),
        ],
        PROXY,
    ],
    rules: &[
        at_most_one(&["bearer_token", "bearer_token_file"]),
        more(More::Http),
        PROXY_RULE,
        more(More::ReservedHeaders).since(28),
    ],
};

/// How a proxy is reached; inlined into `http_config` and `oauth2`.
const PROXY: &[Field] = &[
    formatted("proxy_url", Format::ProxyUrl),
    text("no_proxy").since(26),
    boolean("proxy_from_environment").since(26),
    map("proxy_connect_header", &Type::List(&TOKEN, Nulls::Empty)).secret().since(26),
];

const PROXY_RULE: Rule = more(More::Proxy).since(26);

static BASIC_AUTH: Object = Object {
    name: "basic_auth",
    fields: &[&[
        text("username"),
        text("username_file").since(27),
        text("username_ref").since(28),
        secret("password"),
        text("password_file"),
        text("password_ref").since(28),
    ]],
    rules: &[
        at_most_one(&["username", "username_file", "username_ref"]),
        at_most_one(&["password", "password_file", "password_ref"]),
    ],
};

static AUTHORIZATION: Object = Object {
    name: "authorization",
    fields: &[&[
        text("type"),
        formatted("credentials", Format::Header).secret(),
        text("credentials_file"),
        text("credentials_ref").since(28),
    ]],
    rules: &[at_most_one(&["credentials", "credentials_file", "credentials_ref"])],
};

static OAUTH2: Object = Object {
    name: "oauth2",
    fields: &[
        &[
            text("client_id"),
            secret("client_secret"),
            text("client_secret_file"),
            text("client_secret_ref").since(28),
            text("client_certificate_key_id").since(30),
            formatted("client_certificate_key", Format::Pem).secret().since(30),
            text("client_certificate_key_file").since(30),
            text("client_certificate_key_ref").since(30),
            text("grant_type").since(30),
            text("signature_algorithm").since(30),
            text("iss").since(30),
            text("audience").since(30),
            map("claims", &Type::Any).since(30),
            list("scopes", &PLAIN, Nulls::Empty),
            text("token_url"),
            map("endpoint_params", &PLAIN),
            object("tls_config", &TLS),
        ],
        PROXY,
    ],
    rules: &[
        one_of(&["client_id"]),
        one_of(&["token_url"]),
        one_of(&["client_secret", "client_secret_file"]).until(27),
        more(More::OAuth2),
        PROXY_RULE,
    ],
};

/// `tls_config`, wherever it stands.
pub(super) static TLS: Object = Object {
    name: "tls_config",
    fields: &[&[
        formatted("ca", Format::Pem).since(26),
        formatted("cert", Format::Pem).since(26),
        formatted("key", Format::Pem).secret().since(26),
        text("ca_file"),
        text("cert_file"),
        text("key_file"),
        text("ca_ref").since(28),
        text("cert_ref").since(28),
        text("key_ref").since(28),
        text("server_name"),
        boolean("insecure_skip_verify"),
        formatted("min_version", Format::TlsVersion),
        formatted("max_version", Format::TlsVersion),
    ]],
    rules: &[
        at_most_one(&["ca", "ca_file", "ca_ref"]).since(26),
        at_most_one(&["cert", "cert_file", "cert_ref"]).since(26),
        at_most_one(&["key", "key_file", "key_ref"]).since(26),
        more(More::Tls).since(26),
    ],
};

/// One header of `http_headers`.
pub(super) static HEADER: Object = Object {
    name: "header",
    fields: &[&[
        list("values", &TOKEN, Nulls::Empty),
        list("secrets", &TOKEN, Nulls::Empty).secret(),
        list("files", &PLAIN, Nulls::Empty),
    ]],
    rules: &[],
};

/// Names of labels and their values.
pub(super) const LABELS: Type = Type::Map(Names::Labels, &PLAIN);
