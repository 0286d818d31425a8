//! Time intervals: when routes are quiet.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::{
    Timestamp, Zoned,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::route::{Fault, FaultKind, Reader};
use crate::inject::Node;

/// All time intervals of a configuration, by name.
#[derive(Clone, Default)]
pub struct Intervals(BTreeMap<String, Vec<Interval>>);

/// One of the parts of a time interval: what holds for all that it names.
#[derive(Clone)]
struct Interval {
    /// Minutes of the day, without the last.
    times: Option<Vec<Range>>,
    /// From Sunday, 0.
    weekdays: Option<Vec<Range>>,
    /// Negative ones from the end of the month, -1.
    days_of_month: Option<Vec<Range>>,
    months: Option<Vec<Range>>,
    years: Option<Vec<Range>>,
    zone: TimeZone,
}

/// The first and the last.
type Range = (i32, i32);

pub(super) const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Intervals {
    /// Reads the intervals of a whole configuration.
    ///
    /// # Errors
    /// What can't be read, with places.
    pub fn read(config: &Node) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::default();
        let mut all = BTreeMap::new();
        for list in ["mute_time_intervals", "time_intervals"] {
            let found = reader.nullable(config, list, |reader, node| reader.list(node, named));
            all.extend(found.into_iter().flatten());
        }
        reader.finish(Self(all))
    }

    /// Whether an interval holds at a time, in Unix seconds. One that there is not never does.
    #[must_use]
    pub fn contains(&self, name: &str, at: i64) -> bool {
        let Ok(at) = Timestamp::from_second(at) else { return false };
        self.0.get(name).is_some_and(|parts| parts.iter().any(|part| part.contains(at)))
    }
}

impl Interval {
    fn contains(&self, at: Timestamp) -> bool {
        let at: Zoned = at.to_zoned(self.zone.clone());
        let is_in = |ranges: &Option<Vec<Range>>, value: i32| {
            ranges
                .as_ref()
                .is_none_or(|ranges| ranges.iter().any(|(first, last)| (*first..=*last).contains(&value)))
        };
        let days = i32::from(at.days_in_month());
        let from_start = |day: i32| if day < 0 { days + day + 1 } else { day };
        let days_of_month = self.days_of_month.as_ref().map(|ranges| {
            ranges.iter().map(|(first, last)| (from_start(*first), from_start(*last))).collect()
        });
        let weekday = i32::from(at.weekday().to_sunday_zero_offset());
        is_in(&self.times, i32::from(at.hour()) * 60 + i32::from(at.minute()))
            && is_in(&days_of_month, i32::from(at.day()))
            && is_in(&self.months, i32::from(at.month()))
            && is_in(&self.weekdays, weekday)
            && is_in(&self.years, i32::from(at.year()))
    }
}

fn named(reader: &mut Reader, node: &Node) -> Option<(String, Vec<Interval>)> {
    if !reader.is_map(node) {
        return None;
    }
    let name = reader.field(node, "name", Reader::text);
    let parts = reader.nullable(node, "time_intervals", |reader, node| reader.list(node, interval));
    Some((name?, parts.unwrap_or_default()))
}

fn interval(reader: &mut Reader, node: &Node) -> Option<Interval> {
    if !reader.is_map(node) {
        return None;
    }
    let mut ranges = |name, what: &'static str, member: fn(&str) -> Option<i32>| {
        reader.nullable(node, name, |reader, node| {
            reader.list(node, |reader, node| {
                let range = range(&reader.text(node)?, member);
                if range.is_none() {
                    reader.fault(FaultKind::NoSuch(what));
                }
                range
            })
        })
    };
    let weekdays =
        ranges("weekdays", "range of weekdays, such as monday:friday", |text| index(&WEEKDAYS, text));
    let days_of_month =
        ranges("days_of_month", "range of days, such as 1:5 or -3:-1", |text| text.parse().ok());
    let months = ranges("months", "range of months, such as may:july", |text| {
        index(&MONTHS, text).map(|month| month + 1).or_else(|| text.parse().ok())
    });
    let years = ranges("years", "range of years, such as 2030:2031", |text| text.parse().ok());
    Some(Interval {
        times: reader.nullable(node, "times", |reader, node| reader.list(node, times)),
        zone: reader.field(node, "location", location).unwrap_or(TimeZone::UTC),
        weekdays,
        days_of_month,
        months,
        years,
    })
}

fn index(names: &[&str], text: &str) -> Option<i32> {
    names.iter().position(|name| *name == text).and_then(|index| i32::try_from(index).ok())
}

fn range(text: &str, member: fn(&str) -> Option<i32>) -> Option<Range> {
    let text = text.to_lowercase();
    let (first, last) = text.split_once(':').unwrap_or((&text, &text));
    Some((member(first)?, member(last)?))
}

fn times(reader: &mut Reader, node: &Node) -> Option<Range> {
    if !reader.is_map(node) {
        return None;
    }
    let mut time = |name| {
        if node.get(name).is_none() {
            reader.fault(FaultKind::NoSuch("range of times: it needs start_time and end_time"));
        }
        reader.field(node, name, |reader, node| {
            let minute = minute(&reader.text(node)?);
            if minute.is_none() {
                reader.fault(FaultKind::NoSuch("time, such as 09:00 or 24:00"));
            }
            minute
        })
    };
    let (start, end) = (time("start_time"), time("end_time"));
    let range = (start?, end? - 1);
    if range.0 > range.1 {
        reader.fault(FaultKind::NoSuch("range of times: it ends before it begins"));
    }
    Some(range)
}

fn minute(text: &str) -> Option<i32> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<i32>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    ((hour < 24 && minute < 60) || (hour, minute) == (24, 0)).then_some(hour * 60 + minute)
}

fn location(reader: &mut Reader, node: &Node) -> Option<TimeZone> {
    // Not the system's: the same document means the same everywhere.
    static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    let name = reader.text(node)?;
    if matches!(name.as_str(), "" | "UTC") {
        return Some(TimeZone::UTC);
    }
    // Go looks for a file of this very name.
    let zone = ZONES.get(&name).ok().filter(|zone| zone.iana_name() == Some(&name));
    if zone.is_none() {
        reader.fault(FaultKind::NoSuch("place of the time zone database, such as Europe/Berlin"));
    }
    zone
}
