//! Routes, inhibition and time intervals.

use super::Field;
use super::{
    Format, More, Names, Nulls, Object, PLAIN, Type, boolean, formatted, http::LABELS, list, more, one_of,
    text,
};

const MATCHERS: Type = Type::Text(Format::Matchers);
const REGEX: Type = Type::Text(Format::Regex);

const fn matchers(name: &'static str) -> Field {
    list(name, &MATCHERS, Nulls::Empty)
}

const fn equals(name: &'static str) -> Field {
    Field::new(name, Type::Map(Names::ClassicLabels, &PLAIN))
}

const fn patterns(name: &'static str) -> Field {
    Field::new(name, Type::Map(Names::ClassicLabels, &REGEX))
}

/// A node of the routing tree.
pub(super) static ROUTE: Object = Object {
    name: "route",
    fields: &[&[
        text("receiver"),
        list("group_by", &Type::Text(Format::GroupBy), Nulls::Refused),
        equals("match"),
        patterns("match_re"),
        matchers("matchers"),
        list("mute_time_intervals", &PLAIN, Nulls::Empty),
        list("active_time_intervals", &PLAIN, Nulls::Empty),
        boolean("continue"),
        list("routes", &Type::Object(&ROUTE), Nulls::Refused),
        formatted("group_wait", Format::Duration),
        formatted("group_interval", Format::Duration),
        formatted("repeat_interval", Format::Duration),
        Field::new("labels", LABELS).templated().since(34),
    ]],
    rules: &[more(More::Route)],
};

/// An inhibition rule.
pub(super) static INHIBIT_RULE: Object = Object {
    name: "inhibition rule",
    fields: &[&[
        text("name").since(30),
        equals("source_match"),
        patterns("source_match_re"),
        matchers("source_matchers"),
        equals("target_match"),
        patterns("target_match_re"),
        matchers("target_matchers"),
        list("equal", &Type::Text(Format::Equal), Nulls::Refused).since(28),
        list("equal", &Type::Text(Format::Equal), Nulls::Empty).until(27),
    ]],
    rules: &[],
};

/// An entry of `time_intervals` or `mute_time_intervals`.
pub(super) static NAMED_INTERVALS: Object = Object {
    name: "time interval",
    fields: &[&[text("name"), list("time_intervals", &Type::Object(&INTERVAL), Nulls::Empty)]],
    rules: &[one_of(&["name"])],
};

static INTERVAL: Object = Object {
    name: "time interval",
    fields: &[&[
        list("times", &Type::Object(&TIME_RANGE), Nulls::Empty),
        list("weekdays", &Type::Text(Format::Weekdays), Nulls::Empty),
        list("days_of_month", &Type::Text(Format::Days), Nulls::Empty),
        list("months", &Type::Text(Format::Months), Nulls::Empty),
        list("years", &Type::Text(Format::Years), Nulls::Empty),
        formatted("location", Format::Location),
    ]],
    rules: &[],
};

static TIME_RANGE: Object = Object {
    name: "time range",
    fields: &[&[text("start_time"), text("end_time")]],
    rules: &[more(More::TimeRange)],
};
