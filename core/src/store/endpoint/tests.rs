use proptest::prelude::*;

use super::*;

fn allow(entries: &[&str]) -> Allow {
    Allow::parse(entries).unwrap()
}

/// K16: a tenant's store cannot point the operator, and with it credentials, at a host of the tenant's choosing.
/// Guard: the call of `is_service_of` and the list in `check`.
#[test]
fn a_namespaced_store_names_services_of_its_namespace_and_what_the_operator_allows() {
    let list = allow(&["vault.example.com:8200", "*.corp.example", "192.0.2.7", "http://plain.example:8080"]);
    let table: &[(&str, Result<&str, EndpointFault>)] = &[
        ("https://vault.team-a.svc", Ok("https://vault.team-a.svc")),
        ("https://vault.team-a.svc:8200/", Ok("https://vault.team-a.svc:8200")),
        ("https://vault.team-a.svc.cluster.local", Ok("https://vault.team-a.svc.cluster.local")),
        ("https://vault.example.com:8200", Ok("https://vault.example.com:8200")),
        ("https://a.corp.example/v/x", Ok("https://a.corp.example/v/x")),
        ("https://a.b.corp.example:9", Ok("https://a.b.corp.example:9")),
        ("https://192.0.2.7:8200", Ok("https://192.0.2.7:8200")),
        ("http://plain.example:8080", Ok("http://plain.example:8080")),
        ("https://plain.example:8080", Ok("https://plain.example:8080")),
        // Somebody else's Service, and names that only look like one's own.
        ("https://vault.team-b.svc", Err(EndpointFault::NotAllowed)),
        ("https://vault.xteam-a.svc", Err(EndpointFault::NotAllowed)),
        ("https://team-a.svc", Err(EndpointFault::NotAllowed)),
        ("https://.team-a.svc", Err(EndpointFault::Malformed)),
        ("https://vault.team-a.svc.evil.example", Err(EndpointFault::NotAllowed)),
        ("https://vault.team-a.svc.cluster.local.evil.example", Err(EndpointFault::NotAllowed)),
        ("https://vault.team-b.svc.team-a.svc", Err(EndpointFault::NotAllowed)),
        ("https://vault.team-a", Err(EndpointFault::NotAllowed)),
        ("https://vault", Err(EndpointFault::NotAllowed)),
        // Near the list, but not on it.
        ("https://vault.example.com", Err(EndpointFault::NotAllowed)),
        ("https://vault.example.com:8201", Err(EndpointFault::NotAllowed)),
        ("https://corp.example", Err(EndpointFault::NotAllowed)),
        ("https://xcorp.example", Err(EndpointFault::NotAllowed)),
        ("https://192.0.2.8", Err(EndpointFault::Address)),
        ("https://kubernetes.default.svc", Err(EndpointFault::NotAllowed)),
        ("https://localhost", Err(EndpointFault::NotAllowed)),
        // Plain HTTP.
        ("http://vault.team-a.svc", Err(EndpointFault::Plain)),
        ("http://a.corp.example", Err(EndpointFault::Plain)),
        ("http://plain.example", Err(EndpointFault::NotAllowed)),
    ];
    for (url, expected) in table {
        let found = check(url, Caller::Namespace("team-a"), &list).map(|endpoint| endpoint.to_string());
        assert_eq!(found.as_deref(), expected.as_ref().map(|url| &**url), "{url}");
    }
}

#[test]
fn a_cluster_store_names_any_host_but_no_address_and_not_this_machine() {
    let table: &[(&str, Result<&str, EndpointFault>)] = &[
        ("https://vault.example.com", Ok("https://vault.example.com")),
        ("https://vault.team-a.svc", Ok("https://vault.team-a.svc")),
        ("https://1e100.net", Ok("https://1e100.net")),
        ("https://10.0.0.1", Err(EndpointFault::Address)),
        ("https://127.0.0.1", Err(EndpointFault::Address)),
        ("https://localhost", Err(EndpointFault::NotAllowed)),
        ("https://x.localhost", Err(EndpointFault::NotAllowed)),
        ("http://vault.example.com", Err(EndpointFault::Plain)),
    ];
    for (url, expected) in table {
        let found = check(url, Caller::Cluster, &Allow::default()).map(|endpoint| endpoint.to_string());
        assert_eq!(found.as_deref(), expected.as_ref().map(|url| &**url), "{url}");
    }
}

/// K16: no spelling of a URL has one host for the check and another for the client.
/// Guard: the grammar in `Endpoint::parse` and `Host::parse`.
#[test]
fn tricks_with_the_spelling_are_refused_or_read_as_what_they_are() {
    let list = allow(&["vault.example", "*.corp.example", "127.0.0.1", "::1", "localhost"]);
    let same = |url: &str, plain: &str| {
        let found = check(url, Caller::Cluster, &list).map(|endpoint| endpoint.to_string());
        assert_eq!(found.as_deref(), Ok(plain), "{url}");
    };
    same("HTTPS://VAULT.Example", "https://vault.example");
    same("https://vault.example.", "https://vault.example");
    same("https://vault.example:443//", "https://vault.example");
    same("https://[::1]:8200", "https://[::1]:8200");
    same("https://[0:0:0:0:0:0:0:1]", "https://[::1]");
    for url in [
        "",
        "vault.example",
        "//vault.example",
        "https:vault.example",
        "https:///vault.example",
        "https:\\\\vault.example",
        "ftp://vault.example",
        "file:///etc/passwd",
        " https://vault.example",
        "https://vault.example ",
        "https://vault.example\n",
        "https://vault.example\t",
        "https://vau\nlt.example",
        // A user, and what comes before or after one.
        "https://user@vault.example",
        "https://user:password@vault.example",
        "https://vault.example@evil.example",
        "https://vault.example:443@evil.example",
        "https://@vault.example",
        // What one program takes for the end of the host and another does not.
        "https://evil.example\\vault.example",
        "https://evil.example\\@vault.example",
        "https://evil.example#vault.example",
        "https://evil.example?vault.example",
        "https://vault.example?x=1",
        "https://vault.example#x",
        "https://evil.example;vault.example",
        "https://evil.example,vault.example",
        // Encodings and alphabets.
        "https://vault%2eexample",
        "https://%76ault.example",
        "https://vault\u{3002}example",
        "https://v\u{e4}ult.example",
        "https://\u{24b1}ault.example",
        "https://vault.ex\u{ad}ample",
        "https://vault.example/%2e%2e/x",
        "https://vault.example/../x",
        "https://vault.example/./x",
        "https://vault.example/a//b",
        "https://vault.example/a b",
        "https://vault.example/a\\b",
        // Dots.
        "https://vault.example..",
        "https://vault..example",
        "https://.vault.example",
        "https://.",
        // IPv4 in other clothes: decimal, octal, hexadecimal, short.
        "https://2130706433",
        "https://0x7f000001",
        "https://0x7f.0.0.1",
        "https://0177.0.0.1",
        "https://127.1",
        "https://127.0.1",
        "https://127.0.0.01",
        "https://127.0.0.1.5",
        "https://0X7F.1",
        "https://example.0x1",
        "https://example.1",
        // IPv6 with a zone, without brackets, unfinished.
        "https://[::1%25eth0]",
        "https://[::1%eth0]",
        "https://[fe80::1%251]",
        "https://::1",
        "https://[::1",
        "https://[::1]x",
        "https://[::1]8200",
        "https://[v1.x]",
        "https://[127.0.0.1]",
        "https://[]",
        // Ports.
        "https://vault.example:",
        "https://vault.example:0",
        "https://vault.example:00443",
        "https://vault.example:+443",
        "https://vault.example:65536",
        "https://vault.example:443:443",
        "https://vault.example:https",
    ] {
        assert_eq!(check(url, Caller::Cluster, &list), Err(EndpointFault::Malformed), "{url:?}");
    }
    // A trailing dot is no way around the list's ports, and an address with one is the address.
    assert_eq!(check("https://10.0.0.1.", Caller::Cluster, &list), Err(EndpointFault::Address));
}

/// K16: the metadata services and the like cannot be reached, also where the list names them.
/// Guard: `is_forbidden_address` in `check`.
#[test]
fn forbidden_addresses_stay_forbidden_on_the_list() {
    let addresses = [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "::",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "2002:a9fe:a9fe::",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
    ];
    for text in addresses {
        let address: IpAddr = text.parse().unwrap();
        let list = Allow::parse([text]).unwrap();
        assert!(is_forbidden_address(address), "{text}");
        let url = format!("https://{}/", Host::Address(address));
        assert_eq!(check(&url, Caller::Cluster, &list), Err(EndpointFault::Forbidden), "{text}");
        assert_eq!(list.reachable("vault.example", address), Err(EndpointFault::Forbidden), "{text}");
    }
    for text in
        ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.51.100.1", "fd12:3456::1", "2001:db8::1"]
    {
        let address: IpAddr = text.parse().unwrap();
        assert!(!is_forbidden_address(address), "{text}");
        assert_eq!(Allow::default().reachable("vault.example", address), Ok(()), "{text}");
    }
}

/// K16: a name that its owner points at this machine reaches nothing here.
/// Guard: `local` in `Allow::reachable`.
#[test]
fn loopback_is_reached_only_by_its_own_name_or_address_on_the_list() {
    let table: &[(&[&str], &str, &str, bool)] = &[
        (&[], "localhost", "127.0.0.1", false),
        (&[], "127.0.0.1", "127.0.0.1", false),
        (&["localhost"], "localhost", "127.0.0.1", true),
        (&["localhost:8200"], "localhost", "::1", true),
        (&["LOCALHOST"], "localhost.", "127.0.0.1", true),
        (&["127.0.0.1:8200"], "127.0.0.1", "127.0.0.1", true),
        (&["127.0.0.1"], "127.0.0.2", "127.0.0.2", false),
        (&["127.0.0.1"], "localhost", "127.0.0.1", false),
        (&["::1"], "[::1]", "::1", true),
        (&["127.0.0.1", "localhost", "::1"], "vault.example", "127.0.0.1", false),
        (&["127.0.0.1", "localhost", "::1"], "vault.example", "::ffff:127.0.0.1", false),
        (&["vault.example"], "vault.example", "127.0.0.1", false),
        (&["*.localhost"], "x.localhost", "127.0.0.1", false),
        (&["x.localhost"], "x.localhost", "127.0.0.1", true),
    ];
    for (list, host, address, expected) in table {
        let found = allow(list).reachable(host, address.parse().unwrap());
        assert_eq!(found.is_ok(), *expected, "{list:?} {host} {address}");
    }
}

#[test]
fn entries_of_the_list_that_are_none_are_refused() {
    for entry in [
        "",
        "*",
        "*.",
        "*.*.example",
        "a*.example",
        "vault.*",
        "*.192.0.2.7",
        "user@vault.example",
        "vault.example/path",
        "http://",
        "ftp://vault.example",
        "vault.example:0",
        "vault.example:x",
        "10.0.0.0/8",
        "0x7f.1",
        "[fe80::1%1]",
        " vault.example",
    ] {
        assert_eq!(Allow::parse([entry]), Err(BadEntry), "{entry:?}");
    }
    for entry in
        ["vault.example", "https://vault.example:8200", "*.example:8200", "http://[::1]:8200", "2001:db8::1"]
    {
        assert!(Allow::parse([entry]).is_ok(), "{entry}");
    }
}

#[test]
fn a_label_has_nothing_that_could_end_a_host() {
    for text in ["eu-west-1", "a", "US1"] {
        assert!(is_label(text), "{text}");
    }
    for text in ["", "-a", "a-", "a.b", "a/b", "a#", "a@b", "a:1", "a_b", "a%2e", "ä", &"a".repeat(64)] {
        assert!(!is_label(text), "{text}");
    }
}

#[test]
fn a_fault_is_a_failure_in_the_same_words() {
    for fault in [
        EndpointFault::Address,
        EndpointFault::Forbidden,
        EndpointFault::Malformed,
        EndpointFault::NotAllowed,
        EndpointFault::Plain,
    ] {
        let failure = Failure::from(fault);
        assert_eq!((failure.kind, failure.to_string()), (Kind::EndpointRefused, fault.to_string()));
    }
}

/// URLs of pieces that programs read differently.
fn tricky() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b.example",
        ".",
        "..",
        "1",
        "127",
        "0x7f",
        "0x",
        "017",
        ".1",
        "[::1]",
        "[",
        "]",
        "::",
        "@",
        ":",
        ":80",
        ":443",
        "/",
        "//",
        "\\",
        "#",
        "?",
        "%",
        "%2e",
        "%41",
        "-",
        "_",
        "~",
        "A",
        "\t",
        " ",
        "xn--",
        "\u{e4}",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 1..6)
        .prop_map(|pieces| format!("https://{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// K16: whatever passes has, for the parser that clients use, the host that was checked.
    /// Guard: the refusals in `Endpoint::parse`; without one of them a URL of these pieces comes out different.
    #[test]
    fn a_client_reads_the_same_host(url in tricky()) {
        let list = allow(&["127.0.0.1", "::1"]);
        if let Ok(endpoint) = check(&url, Caller::Cluster, &list) {
            let host = endpoint.host.to_string();
            for url in [&url, &endpoint.to_string()] {
                // A client may refuse more, such as what only begins like a name in another alphabet.
                let Ok(read) = url::Url::parse(url) else { continue };
                prop_assert_eq!(read.host_str().map(|host| host.trim_end_matches('.')), Some(host.as_str()));
                prop_assert_eq!(read.port_or_known_default(), Some(endpoint.port));
                prop_assert_eq!(read.path().trim_end_matches('/'), &endpoint.path);
                prop_assert!(read.username().is_empty() && read.password().is_none() && read.query().is_none());
            }
            prop_assert_eq!(check(&endpoint.to_string(), Caller::Cluster, &list), Ok(endpoint));
        }
    }

    #[test]
    fn no_input_panics(text in any::<String>()) {
        let _ = check(&text, Caller::Cluster, &Allow::default());
        let _ = Allow::parse([&text]);
        let _ = Allow::default().reachable(&text, IpAddr::from([10, 0, 0, 1]));
    }
}
