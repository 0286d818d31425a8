//! Durations as people write them in a spec: `30d`, `12h`, `45m`, `1d12h`.

use std::time::Duration;

use thiserror::Error;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DurationError {
    /// Not numbers with the units d, h, m, s, each at most once and from large to small. Write for example `30d`.
    #[error("not a duration like 30d, 12h or 45m")]
    Malformed,
    /// More than 100 years. Write a shorter one.
    #[error("longer than 100 years")]
    TooLong,
    /// Nothing but zeros. Write a longer one.
    #[error("zero")]
    Zero,
}

/// The units from large to small, with their seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The longest duration: 100 years of 365 days.
const LONGEST: u64 = 100 * 365 * 86_400;

/// Parses `30d`, `12h`, `45m`, `1d12h`.
///
/// # Errors
/// When the text is anything else, zero, or longer than 100 years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut seconds = 0_u64;
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError::Malformed)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next().ok_or(DurationError::Malformed)?;
        let (_, factor) = units.find(|(name, _)| *name == unit).ok_or(DurationError::Malformed)?;
        if number.is_empty() {
            return Err(DurationError::Malformed);
        }
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        seconds = number
            .checked_mul(*factor)
            .and_then(|part| seconds.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        rest = &tail[unit.len_utf8()..];
    }
    match seconds {
        _ if text.is_empty() => Err(DurationError::Malformed),
        0 => Err(DurationError::Zero),
        1..=LONGEST => Ok(Duration::from_secs(seconds)),
        _ => Err(DurationError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u64, DurationError>) {
        assert_eq!(parse(text), expected.map(Duration::from_secs), "{text:?}");
    }

    #[test]
    fn each_unit_and_their_sums_are_read() {
        check("30d", Ok(2_592_000));
        check("12h", Ok(43_200));
        check("45m", Ok(2_700));
        check("90s", Ok(90));
        check("1d12h", Ok(129_600));
        check("1h0m1s", Ok(3_601));
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in ["", "30", "d", "1.5h", "-1h", "+1h", "1h ", " 1h", "1w", "1m1h", "1h1h", "1µs", "１h"]
        {
            check(text, Err(DurationError::Malformed));
        }
    }

    #[test]
    fn zero_and_centuries_are_refused() {
        check("0d", Err(DurationError::Zero));
        check("0h0m", Err(DurationError::Zero));
        check("36501d", Err(DurationError::TooLong));
        check("99999999999999999999d", Err(DurationError::TooLong));
        check("18446744073709551615d", Err(DurationError::TooLong));
        check("36500d", Ok(LONGEST));
    }
}
