//! Durations as Prometheus writes them: `1d12h`, `90s`, `0`.

use std::time::Duration;

/// In this order, each at most once.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest, in milliseconds: what Go counts in nanoseconds.
const MAX: u64 = i64::MAX as u64 / 1_000_000;

/// Reads one.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut units, mut millis) = (text, UNITS.iter(), 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len());
        let (_, factor) = units.find(|(unit, _)| *unit == &rest[..end])?;
        rest = &rest[end..];
        millis = millis.checked_add(number.checked_mul(*factor)?)?;
    }
    (!text.is_empty() && millis <= MAX).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("1ms", 1),
            ("100ms", 100),
            ("1d", 86_400_000),
            ("1y2w3d", (365 + 14 + 3) * 86_400_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "1",
            "s",
            "1m1h",
            "1s1s",
            "1.5h",
            "-1s",
            " 1s",
            "1 s",
            "300y",
            "99999999999999999999s",
            "99999999999999999999y",
            "5",
            "1us",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
