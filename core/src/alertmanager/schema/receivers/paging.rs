//! What wakes people and opens tickets: PagerDuty, Opsgenie, VictorOps, Pushover, incident.io and Jira.

use super::{
    super::{
        Field, Format, Names, Nulls, Object, Rule, Type, What, Width, at_most_one, boolean, formatted, list,
        more, one_of, or_global, secret, template, text, url,
    },
    COMMON, More,
};

const TEXT: Type = Type::Text(Format::Plain);

pub(super) static PAGERDUTY: Object = Object {
    name: "PagerDuty integration",
    fields: &[
        COMMON,
        &[
            secret("service_key").templated(),
            text("service_key_file"),
            secret("routing_key").templated(),
            text("routing_key_file"),
            url("url"),
            template("client"),
            template("client_url"),
            template("description"),
            Field::new("details", Type::Map(Names::Free, &Type::Any)).templated().since(30),
            Field::new("details", Type::Map(Names::Free, &TEXT)).templated().until(29),
            list("images", &Type::Object(&PAGERDUTY_IMAGE), Nulls::Empty),
            list("links", &Type::Object(&PAGERDUTY_LINK), Nulls::Empty),
            template("source"),
            template("severity"),
            template("class"),
            template("component"),
            template("group"),
            Field::new("timeout", Type::Span).since(30),
        ],
    ],
    rules: &[
        one_of(&["routing_key", "service_key", "routing_key_file", "service_key_file"]),
        at_most_one(&["routing_key", "routing_key_file"]),
        at_most_one(&["service_key", "service_key_file"]),
        or_global(&["url"], &["pagerduty_url"]),
    ],
};

static PAGERDUTY_IMAGE: Object = Object {
    name: "PagerDuty image",
    fields: &[&[template("src"), template("alt"), template("href")]],
    rules: &[],
};

static PAGERDUTY_LINK: Object =
    Object { name: "PagerDuty link", fields: &[&[template("href"), template("text")]], rules: &[] };

pub(super) static OPSGENIE: Object = Object {
    name: "Opsgenie integration",
    fields: &[
        COMMON,
        &[
            secret("api_key").templated(),
            text("api_key_file"),
            url("api_url"),
            template("message"),
            template("description"),
            template("source"),
            Field::new("details", Type::Map(Names::Free, &TEXT)).templated(),
            template("entity"),
            list("responders", &Type::Object(&OPSGENIE_RESPONDER), Nulls::Refused),
            template("actions"),
            template("tags"),
            template("note"),
            template("priority"),
            boolean("update_alerts"),
        ],
    ],
    rules: &[
        at_most_one(&["api_key", "api_key_file"]),
        or_global(&["api_url"], &["opsgenie_api_url"]),
        or_global(&["api_key", "api_key_file"], &["opsgenie_api_key", "opsgenie_api_key_file"]),
    ],
};

static OPSGENIE_RESPONDER: Object = Object {
    name: "Opsgenie responder",
    fields: &[&[template("id"), template("name"), template("username"), template("type")]],
    rules: &[one_of(&["id", "username", "name"]), more(More::OpsgenieResponder)],
};

pub(super) static VICTOROPS: Object = Object {
    name: "VictorOps integration",
    fields: &[
        COMMON,
        &[
            secret("api_key"),
            text("api_key_file"),
            url("api_url"),
            template("routing_key"),
            template("message_type"),
            template("state_message"),
            template("entity_display_name"),
            template("monitoring_tool"),
            Field::new("custom_fields", Type::Map(Names::Free, &TEXT)).templated(),
        ],
    ],
    rules: &[
        one_of(&["routing_key"]),
        at_most_one(&["api_key", "api_key_file"]),
        more(More::VictorOps),
        or_global(&["api_url"], &["victorops_api_url"]),
        or_global(&["api_key", "api_key_file"], &["victorops_api_key", "victorops_api_key_file"]),
    ],
};

pub(super) static PUSHOVER: Object = Object {
    name: "Pushover integration",
    fields: &[
        COMMON,
        &[
            secret("user_key").templated(),
            text("user_key_file").since(26),
            secret("token").templated(),
            text("token_file").since(26),
            template("title"),
            template("message"),
            template("url"),
            template("url_title"),
            template("device").since(26),
            template("sound"),
            template("priority"),
            formatted("retry", Format::GoDuration),
            formatted("expire", Format::GoDuration),
            formatted("ttl", Format::GoDuration).since(27),
            boolean("html"),
            boolean("monospace").since(29),
        ],
    ],
    rules: &[
        one_of(&["user_key", "user_key_file"]),
        at_most_one(&["user_key", "user_key_file"]),
        one_of(&["token", "token_file"]),
        at_most_one(&["token", "token_file"]),
        at_most_one(&["html", "monospace"]),
    ],
};

pub(super) static INCIDENTIO: Object = Object {
    name: "incident.io integration",
    fields: &[
        COMMON,
        &[
            url("url"),
            text("url_file"),
            formatted("alert_source_token", Format::Header).secret(),
            text("alert_source_token_file"),
            Field::new("max_alerts", Type::Int(Width::Unsigned)),
            Field::new("timeout", Type::Span),
        ],
    ],
    rules: &[
        one_of(&["url", "url_file"]),
        at_most_one(&["url", "url_file"]),
        at_most_one(&["alert_source_token", "alert_source_token_file"]),
        more(More::Incidentio),
    ],
};

pub(super) static JIRA: Object = Object {
    name: "Jira integration",
    fields: &[
        COMMON,
        &[
            url("api_url"),
            text("api_type").since(29),
            template("project"),
            template("summary").until(29),
            Field::new("summary", Type::TextOr(&JIRA_FIELD)).templated().since(30),
            template("description").until(29),
            Field::new("description", Type::TextOr(&JIRA_FIELD)).templated().since(30),
            Field::new("labels", Type::List(&TEXT, Nulls::Empty)).templated(),
            template("priority"),
            template("issue_type"),
            text("reopen_transition"),
            text("resolve_transition"),
            text("wont_fix_resolution"),
            formatted("reopen_duration", Format::Duration),
            Field::new("fields", Type::Map(Names::Free, &Type::Any)).templated(),
        ],
    ],
    rules: &[
        one_of(&["project"]),
        one_of(&["issue_type"]),
        Rule::new(What::Choice("api_type", &["auto", "cloud", "datacenter"])),
        or_global(&["api_url"], &["jira_api_url"]),
    ],
};

static JIRA_FIELD: Object =
    Object { name: "Jira field", fields: &[&[template("template"), boolean("enable_update")]], rules: &[] };
