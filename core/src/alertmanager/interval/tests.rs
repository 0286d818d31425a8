use serde_json::{Value, json};

use super::*;

fn read(part: &Value) -> Result<Intervals, String> {
    let config = json!({"time_intervals": [{"name": "t", "time_intervals": [part]}]});
    let node = Node::read(&config).unwrap_or_else(|error| panic!("{error}"));
    Intervals::read(&node).map_err(|faults| faults[0].to_string())
}

fn holds(part: &Value, at: &str) -> bool {
    let at: Timestamp = at.parse().unwrap();
    let intervals = read(part).unwrap_or_else(|error| panic!("{error}"));
    intervals.contains("t", at.as_second())
}

#[test]
fn a_time_is_in_an_interval_if_it_is_in_every_part() {
    let office = json!({
        "weekdays": ["monday:friday"],
        "times": [{"start_time": "09:00", "end_time": "17:00"}],
        "location": "Europe/Berlin",
    });
    for (at, expected) in [
        ("2026-11-20T08:00:00Z", true),
        ("2026-11-20T07:59:59Z", false),
        ("2026-11-20T15:59:59Z", true),
        ("2026-11-20T16:00:00Z", false),
        ("2026-11-21T10:00:00Z", false),
        ("2026-07-01T07:00:00Z", true),
    ] {
        assert_eq!(holds(&office, at), expected, "{at}");
    }
}

#[test]
fn days_months_and_years_are_counted_as_alertmanager_does() {
    for (part, at, expected) in [
        (json!({"days_of_month": ["-1"]}), "2026-02-28T12:00:00Z", true),
        (json!({"days_of_month": ["-1"]}), "2028-02-28T12:00:00Z", false),
        (json!({"days_of_month": ["1:-3"]}), "2026-04-28T12:00:00Z", true),
        (json!({"days_of_month": ["1:-3"]}), "2026-04-29T12:00:00Z", false),
        (json!({"days_of_month": [31]}), "2026-04-30T12:00:00Z", false),
        (json!({"days_of_month": ["-31:-30"]}), "2026-02-01T12:00:00Z", false),
        (json!({"months": ["May:july", 12]}), "2026-06-01T00:00:00Z", true),
        (json!({"months": ["May:july", 12]}), "2026-12-01T00:00:00Z", true),
        (json!({"months": ["May:july"]}), "2026-08-01T00:00:00Z", false),
        (json!({"years": ["2025:2026"]}), "2026-12-31T23:59:59Z", true),
        (json!({"years": [2025]}), "2026-01-01T00:00:00Z", false),
        (json!({"weekdays": ["sunday"]}), "2026-11-22T00:00:00Z", true),
        (json!({"times": []}), "2026-11-22T00:00:00Z", false),
        (json!({"times": null}), "2026-11-22T00:00:00Z", true),
        (json!({"times": [{"start_time": "23:00", "end_time": "24:00"}]}), "2026-11-22T23:59:59Z", true),
        (json!({}), "2026-11-22T00:00:00Z", true),
    ] {
        assert_eq!(holds(&part, at), expected, "{part} {at}");
    }
}

#[test]
fn what_is_no_interval_is_refused() {
    for (part, place) in [
        (json!({"weekdays": ["monday:fryday"]}), "weekdays[0]"),
        (json!({"weekdays": ["1"]}), "weekdays[0]"),
        (json!({"months": ["13th"]}), "months[0]"),
        (json!({"times": [{"start_time": "9:00", "end_time": "17:00"}]}), "times[0].start_time"),
        (json!({"times": [{"start_time": "17:00", "end_time": "09:00"}]}), "times[0]"),
        (json!({"times": [{"start_time": "17:00"}]}), "times[0]"),
        (json!({"location": "Mars/Olympus"}), "location"),
        (json!({"location": "europe/berlin"}), "location"),
        (json!("always"), ""),
    ] {
        let error = read(&part).err().unwrap();
        assert!(
            error.starts_with(&format!(
                "time_intervals[0].time_intervals[0]{}{place}: ",
                if place.is_empty() { "" } else { "." }
            )),
            "{error}"
        );
    }
}

#[test]
fn an_interval_that_is_not_there_never_holds() {
    assert!(!Intervals::default().contains("t", 0));
}
