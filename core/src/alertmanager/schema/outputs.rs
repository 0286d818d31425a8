//! `tracing` and `event_recorder`: what Alertmanager tells about itself.

use super::{
    Field, Format, More, Nulls, Object, PLAIN, Type, Width, boolean, formatted,
    http::{HEADER, HTTP_CONFIG, TLS},
    list, map, more, object, one_of, secret_url, text,
};
use super::{Rule, What};

const fn number(name: &'static str) -> Field {
    Field::new(name, Type::Int(Width::Signed))
}

/// `tracing`.
pub(super) static TRACING: Object = Object {
    name: "tracing",
    fields: &[&[
        formatted("client_type", Format::Choice(&["http", "grpc"])),
        text("endpoint"),
        Field::new("sampling_fraction", Type::Float),
        boolean("insecure"),
        object("tls_config", &TLS),
        map("headers", &Type::Object(&HEADER)),
        text("compression"),
        formatted("timeout", Format::Duration),
    ]],
    rules: &[one_of(&["endpoint"]), Rule::new(What::Choice("compression", &["", "gzip"]))],
};

/// `event_recorder`.
pub(super) static EVENT_RECORDER: Object = Object {
    name: "event_recorder",
    fields: &[&[
        list("file_outputs", &Type::Object(&FILE), Nulls::Empty),
        list("webhook_outputs", &Type::Object(&WEBHOOK), Nulls::Empty),
        list("kafka_outputs", &Type::Object(&KAFKA), Nulls::Empty),
        list("stdout_outputs", &Type::Object(&STDOUT), Nulls::Empty).since(34),
    ]],
    rules: &[],
};

static FILE: Object = Object { name: "file output", fields: &[&[text("path")]], rules: &[one_of(&["path"])] };

static STDOUT: Object = Object { name: "stdout output", fields: &[], rules: &[] };

static WEBHOOK: Object = Object {
    name: "webhook output",
    fields: &[&[
        secret_url("url"),
        HTTP_CONFIG,
        formatted("timeout", Format::Duration),
        number("workers"),
        number("max_retries"),
        formatted("retry_backoff", Format::Duration),
        boolean("batch").since(34),
        number("batch_max_events").since(34),
        number("batch_max_bytes").since(34),
        formatted("batch_flush_interval", Format::Duration).since(34),
    ]],
    rules: &[one_of(&["url"]), more(More::Batches).since(34)],
};

static KAFKA: Object = Object {
    name: "Kafka output",
    fields: &[&[
        list("brokers", &PLAIN, Nulls::Refused),
        text("topic"),
        text("client_id"),
        text("format"),
        text("acks"),
        text("compression"),
        number("buffer_size"),
        object("tls_config", &TLS),
    ]],
    rules: &[
        one_of(&["brokers"]),
        more(More::Brokers),
        one_of(&["topic"]),
        Rule::new(What::Choice("format", &["", "json", "protobuf"])),
        Rule::new(What::Choice("acks", &["", "none", "leader", "all"])),
        Rule::new(What::Choice("compression", &["", "none", "gzip", "snappy", "lz4", "zstd"])),
    ],
};
