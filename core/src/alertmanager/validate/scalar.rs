//! Single texts: URLs, durations, ranges of days, names of labels and so on.

use std::{sync::LazyLock, time::Duration};

use jiff::tz::TimeZoneDatabase;

use super::address::{self, Fault};
use crate::alertmanager::{
    duration,
    gotemplate::{self, Functions},
    interval::{MONTHS, WEEKDAYS},
    matcher::{self, Pattern, PatternError, Syntax},
    schema::Format,
    version::Version,
};

/// What Alertmanager shows in the place of a secret.
pub(in crate::alertmanager) const PLACEHOLDER: &str = "<secret>";

/// Checks a text against a format.
pub(in crate::alertmanager) fn check(format: Format, text: &str, version: Version) -> Result<(), Fault> {
    match format {
        Format::Plain | Format::Given | Format::Pem | Format::Header => Ok(()),
        Format::Url => url(text),
        Format::SecretUrl if text == PLACEHOLDER => Err(REDACTED),
        Format::SecretUrl => url(text),
        Format::TemplateUrl => template_url(text),
        Format::ProxyUrl => proxy_url(text),
        Format::HostPort if text.is_empty() => Ok(()),
        Format::HostPort => address::host_port(text),
        Format::TlsVersion => {
            one_of(text, &["TLS10", "TLS11", "TLS12", "TLS13"], "is none of TLS10, TLS11, TLS12 and TLS13")
        }
        Format::Choice(choices) => one_of(text, choices, "is none of what may stand here"),
        Format::Duration => duration(text).map(drop),
        Format::GoDuration => go_duration(text),
        Format::Regex => regex(text),
        Format::Matchers => matchers(text, version).map(drop),
        Format::GroupBy if text == "..." => Ok(()),
        Format::GroupBy => is_label(text, version.minor() >= 27).then_some(()).ok_or(NO_LABEL),
        Format::Equal => is_label(text, version.minor() >= 28).then_some(()).ok_or(NO_LABEL),
        Format::Weekdays => range(text, weekday).and_then(weekdays),
        Format::Days => range(text, integer).and_then(days),
        Format::Months => range(text, month).and_then(in_order),
        Format::Years => range(text, integer).and_then(in_order),
        Format::Location => location(text),
    }
}

/// What Go does with a quoted `null` or `~`.
pub(super) enum NullWord {
    /// It sets it without a look at the format.
    Taken,
    /// It treats it as any other text.
    Checked,
    /// It refuses it, whatever the format says.
    Refused,
}

/// What Go does with a quoted `null` or `~` in a format.
pub(super) const fn null_word(format: Format) -> NullWord {
    match format {
        Format::TemplateUrl | Format::Choice(_) => NullWord::Taken,
        Format::Plain
        | Format::Matchers
        | Format::GroupBy
        | Format::Equal
        | Format::Pem
        | Format::Header
        | Format::GoDuration => NullWord::Checked,
        _ => NullWord::Refused,
    }
}

const REDACTED: Fault = "is the word that Alertmanager shows in the place of a secret";
const NO_LABEL: Fault = "is no name of a label";

fn one_of(text: &str, choices: &[&str], fault: Fault) -> Result<(), Fault> {
    if choices.contains(&text) { Ok(()) } else { Err(fault) }
}

/// An http or https URL with a host.
pub(in crate::alertmanager) fn url(text: &str) -> Result<(), Fault> {
    let url = address::parse(text)?;
    if !["http", "https"].iter().any(|scheme| url.scheme.eq_ignore_ascii_case(scheme)) {
        return Err("is no URL with http or https");
    }
    if url.host.is_empty() { Err("is a URL without a host") } else { Ok(()) }
}

/// What Go takes for a URL.
pub(in crate::alertmanager) fn proxy_url(text: &str) -> Result<(), Fault> {
    address::parse(text).map(drop)
}

/// Whether there is a password in a URL.
pub(in crate::alertmanager) fn has_password(text: &str) -> bool {
    address::parse(text).is_ok_and(|url| url.user.is_some_and(|user| user.contains(':')))
}

fn template_url(text: &str) -> Result<(), Fault> {
    if text == PLACEHOLDER {
        Err(REDACTED)
    } else if text.is_empty() || text.contains(gotemplate::OPEN) {
        gotemplate::check(text, Functions::Go)
            .map_err(|_| "is a broken template, or calls a function that Go does not have")
    } else {
        url(text)
    }
}

/// Prometheus' durations.
pub(in crate::alertmanager) fn duration(text: &str) -> Result<Duration, Fault> {
    duration::parse(text).ok_or("is no duration such as 5m or 1d12h")
}

/// Go's own durations.
pub(super) fn go_duration(text: &str) -> Result<(), Fault> {
    const FAULT: Fault = "is no duration such as 90s or 1h30m";
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(());
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() || text.trim_start_matches(['-', '+']).is_empty() {
        let end = rest.find(|digit: char| !digit.is_ascii_digit() && digit != '.').ok_or(FAULT)?;
        let number = &rest[..end];
        if number.matches('.').count() > 1 || !number.contains(|digit: char| digit.is_ascii_digit()) {
            return Err(FAULT);
        }
        rest = &rest[end..];
        let end = rest.find(|digit: char| digit.is_ascii_digit() || digit == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(FAULT),
        };
        rest = &rest[end..];
        total += number.parse::<f64>().map_err(|_| FAULT)? * unit;
    }
    // 2⁶³ nanoseconds are 292 years: nobody needs to know on which side of it a rounded sum lies.
    if total < 9.223_372_036_854_775e18 { Ok(()) } else { Err(FAULT) }
}

/// A duration in either notation.
pub(in crate::alertmanager) fn any_duration(text: &str) -> Result<(), Fault> {
    duration(text).map(drop).or_else(|_| go_duration(text))
}

fn regex(text: &str) -> Result<(), Fault> {
    match Pattern::read(text) {
        Ok(_) => Ok(()),
        Err(PatternError::Unsupported(_)) => Err("is a regular expression that Waxwing can't read"),
        Err(_) => Err("is no regular expression"),
    }
}

/// Reads matchers in the syntax of a version.
pub(super) fn matchers(text: &str, version: Version) -> Result<Option<matcher::Warning>, Fault> {
    let syntax = if version.minor() >= 27 { Syntax::Fallback } else { Syntax::Classic };
    match matcher::parse(text, syntax) {
        Ok(reading) => Ok(reading.warning),
        Err(_) => Err("is no matcher such as team=\"db\""),
    }
}

/// Whether a text can be the name of a label.
pub(in crate::alertmanager) fn is_label(text: &str, utf8: bool) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && (utf8 || !text.as_bytes()[0].is_ascii_digit() && text.bytes().all(is_word))
}

/// `a` or `a:b`, in whatever case.
fn range(text: &str, member: fn(&str) -> Option<i64>) -> Result<(i64, i64), Fault> {
    let text = text.to_lowercase();
    let read = || {
        let (begin, end) = text.split_once(':').unwrap_or((&text, &text));
        Some((member(begin)?, member(end)?))
    };
    read().ok_or("is no range such as 1:5")
}

fn weekday(text: &str) -> Option<i64> {
    index(text, &WEEKDAYS)
}

fn month(text: &str) -> Option<i64> {
    index(text, &MONTHS).map(|index| index + 1).or_else(|| integer(text))
}

fn index(text: &str, names: &[&str]) -> Option<i64> {
    names.iter().position(|name| *name == text).and_then(|index| i64::try_from(index).ok())
}

/// Go's `strconv.Atoi`, which takes what Rust takes.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn in_order((begin, end): (i64, i64)) -> Result<(), Fault> {
    if begin <= end { Ok(()) } else { Err("is a range that ends before it begins") }
}

fn weekdays(range: (i64, i64)) -> Result<(), Fault> {
    in_order(range)
}

fn days((begin, end): (i64, i64)) -> Result<(), Fault> {
    let is_day = |day: i64| day != 0 && (-31..=31).contains(&day);
    if !is_day(begin) || !is_day(end) {
        return Err("is no day of a month: 1 to 31, or -1 to -31 from its end");
    }
    if begin < 0 && end > 0 {
        return Err("is a range whose end must be negative as its begin is");
    }
    // The shortest month has 28 days.
    let day = |day: i64| if day < 0 { 28 + day } else { day };
    in_order((day(begin), day(end)))
}

fn location(text: &str) -> Result<(), Fault> {
    static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    let is_builtin = matches!(text, "" | "UTC" | "Local");
    // Names of zones are names of files to Go: case matters.
    let is_zone = || ZONES.get(text).is_ok_and(|zone| zone.iana_name() == Some(text));
    if is_builtin || is_zone() { Ok(()) } else { Err("is no time zone") }
}

/// `HH:MM`, in minutes.
pub(super) fn clock(text: &str) -> Option<u32> {
    let &[h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    let number = |tens: u8, ones: u8| {
        let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
        is_number.then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
    };
    let (hours, minutes) = (number(h1, h2)?, number(m1, m2)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= 24 * 60).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(format: Format, text: &str) -> bool {
        check(format, text, Version::NEWEST).is_ok()
    }

    #[test]
    fn durations_are_judged_as_prometheus_and_go_judge_them() {
        for good in ["0", "0s", "5m", "1d12h", "1y2w3d4h5m6s7ms", "292y", "00m"] {
            assert!(judge(Format::Duration, good), "{good}");
        }
        for bad in ["", "5", "-5m", "1m1d", "1m1m", "5 m", "1.5h", "m", "293y", "5M", "99999999999999999999s"]
        {
            assert!(!judge(Format::Duration, bad), "{bad}");
        }
        for good in ["0", "-0", "1h30m", "1.5h", ".5s", "1.s", "-5m", "+5m", "3\u{b5}s", "5m5m"] {
            assert!(judge(Format::GoDuration, good), "{good}");
        }
        for bad in ["", "-", "5", "1d", ".s", "1..5s", "1h 30m", "300000000h"] {
            assert!(!judge(Format::GoDuration, bad), "{bad}");
        }
    }

    #[test]
    fn ranges_are_judged_as_alertmanager_judges_them() {
        for (format, good, bad) in [
            (Format::Weekdays, ["monday", "Monday:FRIDAY"], ["mon", "friday:monday"]),
            (Format::Days, ["1:31", "-3:-1"], ["0", "-1:1"]),
            (Format::Days, ["27:-1", "-31"], ["31:-1", "5:-28"]),
            (Format::Months, ["january:3", "99"], ["jan", "3:january"]),
            (Format::Years, ["2020", "2020:2030"], ["2020-2030", "2030:2020"]),
            (Format::Location, ["Europe/Berlin", "Local"], ["europe/berlin", "Mars"]),
            (Format::TlsVersion, ["TLS12", "TLS13"], ["1.2", ""]),
        ] {
            assert_eq!(
                (good.map(|text| judge(format, text)), bad.map(|text| judge(format, text))),
                ([true; 2], [false; 2]),
                "{good:?} {bad:?}"
            );
        }
    }

    #[test]
    fn times_of_the_day_are_read() {
        assert_eq!(["00:00", "24:00", "23:59"].map(clock), [Some(0), Some(1440), Some(1439)]);
        assert_eq!(["24:01", "9:00", "09:60", "0900", "aa:bb", ""].map(clock), [None; 6]);
    }
}
