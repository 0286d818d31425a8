//! What went wrong with a connection, in fixed phrases.
//!
//! The text of these errors is never used: it can hold the URL, and with it whatever somebody wrote into it.

use std::{error::Error, io};

use waxwing_core::store::{Failure, Kind};

/// The failure that a client's error comes from: what it was caused by, down to the socket or the certificate.
pub(crate) fn failure(error: &(dyn Error + 'static)) -> Failure {
    let mut next = Some(error);
    let mut found = None;
    while let Some(error) = next {
        if let Some(exact) = exact(error) {
            return exact;
        }
        // The innermost of what is less exact says most.
        found = vague(error).or(found);
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // An IO error's source is what its content was caused by, which leaves the content itself out.
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    found.unwrap_or(Failure::new(Kind::Unavailable, "no answer could be had"))
}

fn exact(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.clone());
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(tls(error));
    }
    None
}

fn vague(error: &(dyn Error + 'static)) -> Option<Failure> {
    let timeout = Some(Failure::new(Kind::Unavailable, "no answer came in time"));
    #[cfg(feature = "http")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        if error.is_timeout() {
            return timeout;
        }
        return error
            .is_decode()
            .then_some(Failure::new(Kind::BadData, "the answer could not be understood"));
    }
    if error.is::<tokio::time::error::Elapsed>() {
        return timeout;
    }
    let what = match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "the connection was cut",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "the host is out of reach",
        io::ErrorKind::TimedOut => return timeout,
        _ => return None,
    };
    Some(Failure::new(Kind::Unavailable, what))
}

fn tls(error: &rustls::Error) -> Failure {
    use rustls::{AlertDescription as Alert, CertificateError as Fault, Error as Tls};

    let untrusted = |what| Failure::new(Kind::Untrusted, what);
    match error {
        Tls::InvalidCertificate(fault) => untrusted(match fault {
            Fault::Expired | Fault::ExpiredContext { .. } => "the server's certificate has expired",
            Fault::NotValidYet | Fault::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet"
            }
            Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
                "the server's certificate is for another host"
            }
            Fault::Revoked => "the server's certificate was revoked",
            Fault::UnknownIssuer => "the server's certificate is from an authority that is not trusted",
            _ => "the server's certificate is not valid",
        }),
        Tls::NoCertificatesPresented => untrusted("the server has no certificate"),
        Tls::AlertReceived(
            Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRequired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnknownCA,
        ) => Failure::new(Kind::Unauthenticated, "the server did not take the client certificate"),
        Tls::InvalidMessage(_) => Failure::new(Kind::Unavailable, "the server does not speak TLS"),
        _ => Failure::new(Kind::Unavailable, "no TLS connection could be made"),
    }
}
