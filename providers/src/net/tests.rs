use std::{error::Error, fmt, io, net::IpAddr};

use super::{ca::bundle, *};

#[derive(Debug)]
struct Wrapped<E>(E);

impl<E: fmt::Debug> fmt::Display for Wrapped<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hunter2")
    }
}

impl<E: Error + 'static> Error for Wrapped<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// K16: what a name resolves to is checked when the connection is made.
/// Guard: `reachable` in `Rules::resolve`.
#[tokio::test]
async fn a_name_that_means_this_machine_resolves_only_if_the_list_has_it() {
    let refused = Rules::default().resolve("localhost").await.unwrap_err();
    assert_eq!((refused.kind, refused.place.as_deref()), (Kind::EndpointRefused, Some("localhost")));
    let rules = Rules { allow: Allow::parse(["localhost:8200"]).unwrap() };
    assert!(rules.resolve("localhost").await.unwrap().iter().all(IpAddr::is_loopback));
}

#[tokio::test]
async fn an_address_is_held_to_the_rules_without_a_look_up() {
    let rules = Rules::default();
    for host in ["127.0.0.1", "[::1]", "169.254.169.254", "[fe80::1]"] {
        assert_eq!(
            rules.resolve(host).await.map_err(|failure| failure.kind),
            Err(Kind::EndpointRefused),
            "{host}"
        );
    }
    assert_eq!(rules.resolve("10.1.2.3").await, Ok(vec![IpAddr::from([10, 1, 2, 3])]));
}

#[test]
fn causes_become_fixed_phrases() {
    let io = |kind| Wrapped(io::Error::from(kind));
    let table: Vec<(Box<dyn Error>, Kind, &str)> = vec![
        (Box::new(io(io::ErrorKind::ConnectionRefused)), Kind::Unavailable, "the connection was refused"),
        (Box::new(io(io::ErrorKind::UnexpectedEof)), Kind::Unavailable, "the connection was cut"),
        (Box::new(io(io::ErrorKind::TimedOut)), Kind::Unavailable, "no answer came in time"),
        (Box::new(Wrapped(fmt::Error)), Kind::Unavailable, "no answer could be had"),
        (
            Box::new(Wrapped(io::Error::other(Wrapped(io::Error::other(Failure::new(Kind::Sealed, "x")))))),
            Kind::Sealed,
            "x",
        ),
    ];
    for (error, kind, what) in table {
        let failure = failure(error.as_ref());
        assert_eq!((failure.kind, failure.what), (kind, what));
        assert!(!failure.to_string().contains("hunter2"));
    }
}

#[test]
fn a_certificate_is_named_by_what_is_wrong_with_it() {
    use rustls::{CertificateError, Error as Tls};
    let table = [
        (
            Tls::InvalidCertificate(CertificateError::Expired),
            Kind::Untrusted,
            "the server's certificate has expired",
        ),
        (
            Tls::InvalidCertificate(CertificateError::NotValidForName),
            Kind::Untrusted,
            "the server's certificate is for another host",
        ),
        (
            Tls::AlertReceived(rustls::AlertDescription::CertificateRequired),
            Kind::Unauthenticated,
            "the server did not take the client certificate",
        ),
        (Tls::General("hunter2".to_owned()), Kind::Unavailable, "no TLS connection could be made"),
    ];
    for (error, kind, what) in table {
        // As tokio-rustls hands it on.
        let failure = failure(&Wrapped(io::Error::new(io::ErrorKind::InvalidData, error)));
        assert_eq!((failure.kind, failure.what), (kind, what));
    }
}

#[test]
fn a_bundle_is_pem_or_base64_of_it() {
    let text = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let packed = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
    assert_eq!(bundle(text), Ok(text.as_bytes().to_vec()));
    assert_eq!(bundle(packed), Ok(text.as_bytes().to_vec()));
    assert_eq!(bundle(&format!("{}\n {}", &packed[..40], &packed[40..])), Ok(text.as_bytes().to_vec()));
    for bad in ["", "%", "aGk=", "-----BEGIN PRIVATE KEY-----"] {
        assert_eq!(bundle(bad).map_err(|failure| failure.kind), Err(Kind::BadStore), "{bad}");
    }
}

/// K16: a redirect is not followed, and a name that points at this machine is not connected to.
/// Guard: `redirect` and `dns_resolver` in `client_builder`.
#[cfg(feature = "http")]
mod clients {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers every connection with this, and counts them.
    async fn serve(answer: String) -> (u16, Arc<std::sync::atomic::AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (port, count)
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer() {
        let (second, reached) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
        let moved = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{second}/\r\ncontent-length: 0\r\n\r\n"
        );
        let (first, _) = serve(moved).await;
        let rules = Rules::new(Allow::parse(["http://127.0.0.1"]).unwrap());
        let client = client_builder(&rules, &Trust::default()).unwrap().build().unwrap();
        let answer = client.get(format!("http://127.0.0.1:{first}/")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 307);
        assert_eq!(reached.load(std::sync::atomic::Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_by_the_rules() {
        let (port, reached) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
        let send = async |rules: Arc<Rules>| {
            let client = client_builder(&rules, &Trust::default()).unwrap().build().unwrap();
            client.get(format!("http://localhost:{port}/")).send().await
        };
        let error = send(Rules::new(Allow::default())).await.unwrap_err();
        assert_eq!(failure(&error).kind, Kind::EndpointRefused);
        assert_eq!(reached.load(std::sync::atomic::Ordering::SeqCst), 0);
        assert!(send(Rules::new(Allow::parse(["localhost"]).unwrap())).await.is_ok());
    }

    #[tokio::test]
    async fn a_refused_connection_and_a_server_without_tls_are_told_apart() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let (plain, _) = serve("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()).await;
        let rules = Rules::new(Allow::parse(["http://127.0.0.1"]).unwrap());
        let client = client_builder(&rules, &Trust::default()).unwrap().build().unwrap();
        for (url, what) in [
            (format!("http://127.0.0.1:{closed}/"), "the connection was refused"),
            (format!("https://127.0.0.1:{plain}/"), "the server does not speak TLS"),
        ] {
            let error = client.get(&url).send().await.unwrap_err();
            let failure = failure(&error);
            assert_eq!((failure.kind, failure.what), (Kind::Unavailable, what), "{error:?}");
        }
    }
}
