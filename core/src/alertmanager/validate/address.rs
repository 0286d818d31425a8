//! Addresses, judged as Go's `net/url` and `net` judge them. Nothing is decoded: only whether Go takes a text matters.

use std::net::Ipv6Addr;

/// What is wrong with an address, as a phrase.
pub(super) type Fault = &'static str;

/// The parts of a URL that decide what it may be used for.
pub(super) struct Url<'a> {
    /// As it is written.
    pub(super) scheme: &'a str,
    /// Host and port, without a user.
    pub(super) host: &'a str,
    /// User and password.
    pub(super) user: Option<&'a str>,
}

/// Go's `url.Parse`.
pub(super) fn parse(text: &str) -> Result<Url<'_>, Fault> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("is no URL: there is a control character in it");
    }
    let (scheme, rest) = scheme(text)?;
    let rest = rest.split_once('?').map_or(rest, |(path, _)| path);
    let mut url = Url { scheme, host: "", user: None };
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            return escapes(fragment).map(|()| url); // nothing looks into mailto:name
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("is no URL: it begins with a colon's worth of path");
        }
    }
    let mut path = rest;
    let is_network = !scheme.is_empty() || !rest.starts_with("///");
    if let Some(authority) = rest.strip_prefix("//").filter(|_| is_network) {
        let end = authority.find('/').unwrap_or(authority.len());
        path = &authority[end..];
        let authority = &authority[..end];
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        check_host(scheme, host)?;
        if let Some(user) = user {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
            if !user.bytes().all(is_plain) {
                return Err("is no URL: the user in it has characters that must be escaped");
            }
            escapes(user)?;
        }
        (url.user, url.host) = (user, host);
    }
    escapes(path)?;
    escapes(fragment)?;
    Ok(url)
}

/// What stands before the colon, and what behind it.
fn scheme(text: &str) -> Result<(&str, &str), Fault> {
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return Err("is no URL: there is nothing before its colon"),
            b':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// Whether every `%` begins an escape.
fn escapes(text: &str) -> Result<(), Fault> {
    let is_escape = |part: &str| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    let is_sound = text.split('%').skip(1).all(is_escape);
    if is_sound { Ok(()) } else { Err("is no URL: a % in it begins no escape") }
}

fn check_host(scheme: &str, host: &str) -> Result<(), Fault> {
    const PORT: Fault = "is no URL: its port is no number";
    let is_port = |port: &str| {
        port.is_empty()
            || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match host.rfind('[') {
        Some(0) => {
            let end = host.rfind(']').ok_or("is no URL: a ] is missing in its host")?;
            if !is_port(&host[end + 1..]) {
                return Err(PORT);
            }
            let name = &host[1..end];
            let (address, zone) =
                name.split_once("%25").map_or((name, None), |(name, zone)| (name, Some(zone)));
            let is_zone = zone.is_none_or(|zone| !zone.is_empty() && escapes(zone).is_ok());
            let is_address = address.parse::<Ipv6Addr>().is_ok();
            if is_zone && is_address { Ok(()) } else { Err("is no URL: brackets are for IPv6 addresses") }
        }
        Some(_) => Err("is no URL: brackets are for IPv6 addresses"),
        None => {
            let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            let colon = if is_web { host.find(':') } else { host.rfind(':') };
            if !colon.is_none_or(|colon| is_port(&host[colon..])) {
                return Err(PORT);
            }
            check_name(host)
        }
    }
}

/// The characters of a host name. Only what is not ASCII may be escaped.
fn check_name(host: &str) -> Result<(), Fault> {
    let is_plain = |byte: u8| {
        !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"%".contains(&byte)
    };
    if !host.bytes().all(is_plain) {
        return Err("is no URL: its host has characters that no host has");
    }
    escapes(host)?;
    let is_high = |part: &str| part.starts_with("25") || !part.starts_with(|digit: char| digit < '8');
    if host.split('%').skip(1).all(is_high) {
        Ok(())
    } else {
        Err("is no URL: its host has an escape that no host has")
    }
}

/// Go's `net.SplitHostPort`, and the port must not be empty.
pub(super) fn host_port(text: &str) -> Result<(), Fault> {
    const MISSING: Fault = "is no address: host:port is what is needed";
    const COLONS: Fault = "is no address: it has too many colons";
    const BRACKETS: Fault = "is no address: brackets go around an IPv6 address";
    let last = text.rfind(':').ok_or(MISSING)?;
    let (inside, behind) = if text.starts_with('[') {
        let end = text.find(']').ok_or(BRACKETS)?;
        if end + 1 != last {
            return Err(if text[end + 1..].starts_with(':') { COLONS } else { MISSING });
        }
        (1, end + 1)
    } else {
        if text[..last].contains(':') {
            return Err(COLONS);
        }
        (0, 0)
    };
    if text[inside..].contains('[') || text[behind..].contains(']') {
        return Err(BRACKETS);
    }
    if last + 1 == text.len() { Err("is no address: its port is empty") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_judged_as_go_judges_them() {
        for good in [
            "https://user:pa%20ss@example.com:8080/a%2fb c?q=%zz#x",
            "http://[::1]:80/",
            "http://[fe80::1%25en0]/",
            "//host/path",
            "mailto:%zz",
            "a/b:c",
            "http://müller/",
            "http://%C3%BC/",
            "",
            "*",
            "http://h:/",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            ":x",
            "a:b:c/d\n",
            "1:2",
            "http://a b/",
            "http://h:x/",
            "http://h:1:2/",
            "http://[::1/",
            "http://[1.2.3.4]/",
            "http://x[::1]/",
            "http://h/%",
            "http://h/%4",
            "http://h/#%g0",
            "http://us er@h/",
            "http://u%@h/",
            "http://%41/",
            "http://h\u{7f}/",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_judged_as_go_judges_them() {
        for good in ["h:25", ":25", "[::1]:25", "h:smtp", "[]:1", "[a%b]:1"] {
            assert_eq!(host_port(good), Ok(()), "{good}");
        }
        for bad in [
            "h",
            "h:",
            "::1:25",
            "[::1]",
            "[::1",
            "[::1]:",
            "[::1]x:1",
            "a[b]:1",
            "[a[b]:1",
            "h]:1",
            "[::1]:2:3",
        ] {
            assert!(host_port(bad).is_err(), "{bad}");
        }
    }
}
