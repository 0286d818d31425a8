//! A receiver and its eighteen integrations.

mod chat;
mod notes;
mod paging;
mod teams;

use super::{
    Field, More, Nulls, Object, PLAIN, Type, boolean, http::HTTP_CONFIG, list, map, more, one_of, text,
};

/// What every integration has.
const COMMON: &[Field] = &[boolean("send_resolved"), HTTP_CONFIG];

const fn integration(name: &'static str, config: &'static Type) -> Field {
    list(name, config, Nulls::Refused)
}

/// A receiver.
pub(in crate::alertmanager) static RECEIVER: Object = Object {
    name: "receiver",
    fields: &[&[text("name"), map("labels", &PLAIN).since(33)], INTEGRATIONS],
    rules: &[one_of(&["name"]), more(More::ReceiverLabels).since(33)],
};

/// The fields of a receiver that list integrations.
pub(super) static INTEGRATIONS: &[Field] = &[
    integration("discord_configs", &Type::Object(&chat::DISCORD)),
    integration("email_configs", &Type::Object(&notes::EMAIL)),
    integration("incidentio_configs", &Type::Object(&paging::INCIDENTIO)).since(29),
    integration("jira_configs", &Type::Object(&paging::JIRA)).since(28),
    integration("mattermost_configs", &Type::Object(&teams::MATTERMOST)).since(30),
    integration("msteams_configs", &Type::Object(&teams::MSTEAMS)).since(26),
    integration("msteamsv2_configs", &Type::Object(&teams::MSTEAMSV2)).since(28),
    integration("opsgenie_configs", &Type::Object(&paging::OPSGENIE)),
    integration("pagerduty_configs", &Type::Object(&paging::PAGERDUTY)),
    integration("pushover_configs", &Type::Object(&paging::PUSHOVER)),
    integration("rocketchat_configs", &Type::Object(&chat::ROCKETCHAT)).since(28),
    integration("slack_configs", &Type::Object(&chat::SLACK)),
    integration("sns_configs", &Type::Object(&notes::SNS)),
    integration("telegram_configs", &Type::Object(&chat::TELEGRAM)),
    integration("victorops_configs", &Type::Object(&paging::VICTOROPS)),
    integration("webex_configs", &Type::Object(&teams::WEBEX)),
    integration("webhook_configs", &Type::Object(&notes::WEBHOOK)),
    integration("wechat_configs", &Type::Object(&chat::WECHAT)),
];
