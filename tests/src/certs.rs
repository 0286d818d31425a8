//! Keys and certificates of one control plane or server: a CA, a serving certificate for loopback, client certificates,
//! a key for service account tokens. Nothing of it outlives the run.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Paths of the files, and the CA for clients.
pub struct Certs {
    /// The CA's certificate, PEM.
    pub ca_pem: String,
    /// The CA's certificate.
    pub ca: PathBuf,
    /// The serving certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The private key that signs service account tokens.
    pub sa_key: PathBuf,
    /// Its public half.
    pub sa_pub: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub cert_pem: String,
    /// The key, PKCS#8.
    pub key_pem: String,
}

impl Certs {
    /// Makes all of it in one folder.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn make(dir: &Path) -> Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "waxwing-tests");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let ca_cert = ca.self_signed(&ca_key)?;

        let key = KeyPair::generate()?;
        let mut serving = CertificateParams::new(vec!["localhost".to_owned()])?;
        serving.distinguished_name.push(DnType::CommonName, "localhost");
        serving.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        serving.use_authority_key_identifier_extension = true;
        let issuer = Issuer::new(ca, ca_key);
        let cert = serving.signed_by(&key, &issuer)?;

        let sa = KeyPair::generate()?;
        let write = |name: &str, text: String| -> Result<PathBuf> {
            let path = dir.join(name);
            std::fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Self {
            ca_pem: ca_cert.pem(),
            ca: write("ca.crt", ca_cert.pem())?,
            cert: write("serving.crt", cert.pem())?,
            key: write("serving.key", key.serialize_pem())?,
            sa_key: write("sa.key", sa.serialize_pem())?,
            sa_pub: write("sa.pub", sa.public_key_pem())?,
            issuer,
        })
    }

    /// A client's certificate by this CA.
    ///
    /// # Errors
    /// When the name can't be one.
    pub fn client(&self, common_name: &str) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut client = CertificateParams::new(Vec::new())?;
        client.distinguished_name.push(DnType::CommonName, common_name);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        client.use_authority_key_identifier_extension = true;
        let cert = client.signed_by(&key, &self.issuer)?;
        Ok(Identity { cert_pem: cert.pem(), key_pem: key.serialize_pem() })
    }
}
