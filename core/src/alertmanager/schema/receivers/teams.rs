//! Microsoft Teams, Mattermost and Webex.

use super::{
    super::{
        Format, Nulls, Object, Type, at_most_one, boolean, formatted, list, more, object, one_of, or_global,
        secret_url, template, text, url,
    },
    COMMON, More,
};

pub(super) static MSTEAMS: Object = Object {
    name: "Microsoft Teams integration",
    fields: &[
        COMMON,
        &[
            secret_url("webhook_url"),
            text("webhook_url_file").since(27),
            template("title"),
            template("summary").since(27),
            template("text"),
        ],
    ],
    rules: &[
        one_of(&["webhook_url", "webhook_url_file"]),
        at_most_one(&["webhook_url", "webhook_url_file"]),
        more(More::NoUrlFileAlone).until(27),
    ],
};

pub(super) static MSTEAMSV2: Object = Object {
    name: "Microsoft Teams v2 integration",
    fields: &[
        COMMON,
        &[secret_url("webhook_url"), text("webhook_url_file"), template("title"), template("text")],
    ],
    rules: &[
        one_of(&["webhook_url", "webhook_url_file"]),
        at_most_one(&["webhook_url", "webhook_url_file"]),
        more(More::MsTeamsV2).since(34),
    ],
};

pub(super) static MATTERMOST: Object = Object {
    name: "Mattermost integration",
    fields: &[
        COMMON,
        &[
            secret_url("webhook_url"),
            text("webhook_url_file"),
            template("channel"),
            template("username"),
            template("text"),
            template("fallback").since(32),
            template("color").since(32),
            template("pretext").since(32),
            template("author_name").since(32),
            template("author_link").since(32),
            template("author_icon").since(32),
            template("title").since(32),
            template("title_link").since(32),
            list("fields", &Type::Object(&MATTERMOST_FIELD), Nulls::Deadly).since(32),
            template("thumb_url").since(32),
            template("footer").since(32),
            template("footer_icon").since(32),
            template("image_url").since(32),
            template("icon_url"),
            template("icon_emoji"),
            list("attachments", &Type::Object(&MATTERMOST_ATTACHMENT), Nulls::Deadly),
            template("type"),
            object("props", &MATTERMOST_PROPS),
            object("priority", &MATTERMOST_PRIORITY),
        ],
    ],
    rules: &[
        one_of(&["webhook_url", "webhook_url_file"]).until(31),
        at_most_one(&["webhook_url", "webhook_url_file"]),
        or_global(
            &["webhook_url", "webhook_url_file"],
            &["mattermost_webhook_url", "mattermost_webhook_url_file"],
        )
        .since(32),
    ],
};

static MATTERMOST_FIELD: Object = Object {
    name: "Mattermost field",
    fields: &[&[template("title"), template("value"), boolean("short")]],
    rules: &[one_of(&["title"]), one_of(&["value"])],
};

static MATTERMOST_ATTACHMENT: Object = Object {
    name: "Mattermost attachment",
    fields: &[&[
        template("fallback"),
        template("color"),
        template("pretext"),
        template("text"),
        template("author_name"),
        template("author_link"),
        template("author_icon"),
        template("title"),
        template("title_link"),
        list("fields", &Type::Object(&MATTERMOST_FIELD), Nulls::Deadly),
        template("thumb_url"),
        template("footer"),
        template("footer_icon"),
        template("image_url"),
    ]],
    rules: &[],
};

static MATTERMOST_PROPS: Object =
    Object { name: "Mattermost properties", fields: &[&[template("card")]], rules: &[] };

static MATTERMOST_PRIORITY: Object = Object {
    name: "Mattermost priority",
    fields: &[&[template("priority"), boolean("requested_ack"), boolean("persistent_notifications")]],
    rules: &[],
};

pub(super) static WEBEX: Object = Object {
    name: "Webex integration",
    fields: &[
        COMMON,
        &[url("api_url"), template("message"), formatted("room_id", Format::Plain).templated()],
    ],
    rules: &[one_of(&["room_id"]), more(More::Webex), or_global(&["api_url"], &["webex_api_url"])],
};
