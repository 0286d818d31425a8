//! Email, webhooks and SNS.

use super::{
    super::{
        Field, Format, Names, Object, Rule, Type, What, Width, at_most_one, boolean, formatted, http::TLS,
        more, object, one_of, or_global, secret, template, text,
    },
    COMMON, More,
};

const TEXT: Type = Type::Text(Format::Plain);

pub(super) static EMAIL: Object = Object {
    name: "email integration",
    fields: &[&[
        boolean("send_resolved"),
        template("to"),
        template("from"),
        text("hello"),
        formatted("smarthost", Format::HostPort),
        text("auth_username"),
        secret("auth_password"),
        text("auth_password_file"),
        secret("auth_secret"),
        text("auth_secret_file").since(31),
        text("auth_identity"),
        Field::new("headers", Type::Map(Names::Free, &TEXT)).templated(),
        template("html"),
        template("text"),
        boolean("require_tls"),
        object("tls_config", &TLS),
        boolean("force_implicit_tls").since(31),
        object("threading", &THREADING).since(30),
    ]],
    rules: &[
        one_of(&["to"]),
        more(More::Email),
        or_global(&["smarthost"], &["smtp_smarthost"]),
        or_global(&["from"], &["smtp_from"]),
    ],
};

static THREADING: Object =
    Object { name: "threading", fields: &[&[boolean("enabled"), text("thread_by_date")]], rules: &[] };

pub(super) static WEBHOOK: Object = Object {
    name: "webhook integration",
    fields: &[
        COMMON,
        &[
            formatted("url", Format::TemplateUrl).secret().templated().since(31),
            formatted("url", Format::SecretUrl).secret().since(26).until(30),
            formatted("url", Format::Url).secret().until(25),
            text("url_file").since(26),
            Field::new("max_alerts", Type::Int(Width::Unsigned)),
            Field::new("timeout", Type::Span).since(28),
            Field::new("payload", Type::Any).templated().since(32),
        ],
    ],
    rules: &[one_of(&["url", "url_file"]), at_most_one(&["url", "url_file"])],
};

pub(super) static SNS: Object = Object {
    name: "SNS integration",
    fields: &[
        COMMON,
        &[
            template("api_url"),
            object("sigv4", &SIGV4),
            template("topic_arn"),
            template("phone_number"),
            template("target_arn"),
            template("subject"),
            template("message"),
            Field::new("attributes", Type::Map(Names::Free, &TEXT)).templated(),
            boolean("use_aws_http_client").since(33),
        ],
    ],
    rules: &[more(More::Sns)],
};

static SIGV4: Object = Object {
    name: "sigv4",
    fields: &[&[
        text("region"),
        secret("access_key"),
        secret("secret_key"),
        text("profile"),
        text("role_arn"),
        text("external_id").since(31),
        boolean("use_fips_sts_endpoint").since(28),
        text("service_name").since(29),
    ]],
    rules: &[
        Rule::new(What::Needs("access_key", "secret_key")),
        Rule::new(What::Needs("secret_key", "access_key")),
        Rule::new(What::Needs("external_id", "role_arn")).since(31),
    ],
};
