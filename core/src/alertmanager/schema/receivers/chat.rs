//! Slack, Discord, Rocket.Chat, Telegram and WeChat.

use super::{
    super::{
        Field, Format, Nulls, Object, PLAIN, Rule, Type, What, Width, at_most_one, boolean, formatted, list,
        more, object, one_of, or_global, secret, secret_url, template, text, url,
    },
    COMMON, More,
};

pub(super) static DISCORD: Object = Object {
    name: "Discord integration",
    fields: &[
        COMMON,
        &[
            secret_url("webhook_url"),
            text("webhook_url_file").since(27),
            template("content").since(28),
            template("title"),
            template("message"),
            text("username").since(28),
            text("avatar_url").since(28),
        ],
    ],
    rules: &[
        one_of(&["webhook_url", "webhook_url_file"]),
        at_most_one(&["webhook_url", "webhook_url_file"]),
        more(More::NoUrlFileAlone).until(27),
    ],
};

pub(super) static SLACK: Object = Object {
    name: "Slack integration",
    fields: &[
        COMMON,
        &[
            secret_url("api_url"),
            text("api_url_file"),
            formatted("app_token", Format::Header).secret().since(30),
            text("app_token_file").since(30),
            url("app_url").since(30),
            template("channel"),
            template("username"),
            template("color"),
            template("title"),
            template("title_link"),
            template("pretext"),
            template("text"),
            template("message_text").since(31),
            list("fields", &Type::Object(&SLACK_FIELD), Nulls::Deadly),
            boolean("short_fields"),
            template("footer"),
            template("fallback"),
            template("callback_id"),
            template("icon_emoji"),
            template("icon_url"),
            template("image_url"),
            template("thumb_url"),
            boolean("link_names"),
            list("mrkdwn_in", &PLAIN, Nulls::Empty),
            list("actions", &Type::Object(&SLACK_ACTION), Nulls::Deadly),
            boolean("update_message").since(32),
            Field::new("timeout", Type::Span).since(30),
        ],
    ],
    rules: &[
        at_most_one(&["api_url", "api_url_file"]),
        at_most_one(&["app_token", "app_token_file"]),
        Rule::new(What::OneFamily(&["api_url", "api_url_file"], &["app_token", "app_token_file"])),
        or_global(&["api_url", "api_url_file"], &["slack_api_url", "slack_api_url_file"]).until(29),
        more(More::Slack).since(30),
        more(More::SlackUpdate).since(32),
    ],
};

static SLACK_FIELD: Object = Object {
    name: "Slack field",
    fields: &[&[template("title"), template("value"), boolean("short")]],
    rules: &[one_of(&["title"]), one_of(&["value"])],
};

static SLACK_ACTION: Object = Object {
    name: "Slack action",
    fields: &[&[
        template("type"),
        template("text"),
        template("url"),
        template("style"),
        template("name"),
        template("value"),
        object("confirm", &SLACK_CONFIRMATION),
    ]],
    rules: &[one_of(&["type"]), one_of(&["text"]), one_of(&["name", "url"])],
};

static SLACK_CONFIRMATION: Object = Object {
    name: "Slack confirmation",
    fields: &[&[template("text"), template("title"), template("ok_text"), template("dismiss_text")]],
    rules: &[one_of(&["text"])],
};

pub(super) static ROCKETCHAT: Object = Object {
    name: "Rocket.Chat integration",
    fields: &[
        COMMON,
        &[
            url("api_url"),
            formatted("token_id", Format::Given).secret(),
            text("token_id_file"),
            formatted("token", Format::Given).secret(),
            text("token_file"),
            template("channel"),
            template("color"),
            template("title"),
            template("title_link"),
            template("text"),
            list("fields", &Type::Object(&ROCKETCHAT_FIELD), Nulls::Deadly),
            boolean("short_fields"),
            template("emoji"),
            template("icon_url"),
            template("image_url"),
            template("thumb_url"),
            boolean("link_names"),
            list("actions", &Type::Object(&ROCKETCHAT_ACTION), Nulls::Deadly),
        ],
    ],
    rules: &[
        at_most_one(&["token", "token_file"]),
        at_most_one(&["token_id", "token_id_file"]),
        or_global(&["token_id", "token_id_file"], &["rocketchat_token_id", "rocketchat_token_id_file"]),
        or_global(&["token", "token_file"], &["rocketchat_token", "rocketchat_token_file"]),
    ],
};

static ROCKETCHAT_FIELD: Object = Object {
    name: "Rocket.Chat field",
    fields: &[&[boolean("short"), template("title"), template("value")]],
    rules: &[],
};

/// Alertmanager names no YAML fields here, so Go's names in lower case are what it reads.
static ROCKETCHAT_ACTION: Object = Object {
    name: "Rocket.Chat action",
    fields: &[&[
        text("type"),
        template("text"),
        template("url"),
        text("imageurl"),
        boolean("iswebview"),
        text("webviewheightratio"),
        template("msg"),
        boolean("msginchatwindow"),
        text("msgprocessingtype"),
    ]],
    rules: &[],
};

pub(super) static TELEGRAM: Object = Object {
    name: "Telegram integration",
    fields: &[
        COMMON,
        &[
            url("api_url"),
            secret("bot_token"),
            text("bot_token_file").since(26),
            Field::new("chat_id", Type::Int(Width::Signed)),
            text("chat_id_file").since(31),
            Field::new("message_thread_id", Type::Int(Width::Signed)).since(28),
            template("message"),
            boolean("disable_notifications"),
            text("parse_mode"),
        ],
    ],
    rules: &[
        at_most_one(&["bot_token", "bot_token_file"]),
        one_of(&["bot_token", "bot_token_file"]).until(30),
        or_global(&["bot_token", "bot_token_file"], &["telegram_bot_token", "telegram_bot_token_file"])
            .since(31),
        one_of(&["chat_id", "chat_id_file"]),
        at_most_one(&["chat_id", "chat_id_file"]),
        Rule::new(What::Choice("parse_mode", &["", "Markdown", "MarkdownV2", "HTML"])),
    ],
};

pub(super) static WECHAT: Object = Object {
    name: "WeChat integration",
    fields: &[
        COMMON,
        &[
            secret("api_secret").templated(),
            text("api_secret_file").since(31),
            template("corp_id"),
            template("message"),
            url("api_url"),
            template("to_user"),
            template("to_party"),
            template("to_tag"),
            template("agent_id"),
            text("message_type"),
        ],
    ],
    rules: &[
        Rule::new(What::Choice("message_type", &["", "text", "markdown"])),
        at_most_one(&["api_secret", "api_secret_file"]),
        or_global(&["api_url"], &["wechat_api_url"]),
        or_global(&["api_secret", "api_secret_file"], &["wechat_api_secret", "wechat_api_secret_file"]),
        or_global(&["corp_id"], &["wechat_api_corp_id"]),
    ],
};
