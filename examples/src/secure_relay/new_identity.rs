//! `new-identity`: a certificate that signs itself, and its key, in one file.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use super::args::NewIdentity;

/// Makes the file and says what to do with it.
///
/// # Errors
///
/// A file that exists, which is never touched, and what writing says.
pub(crate) fn run(wanted: &NewIdentity) -> anyhow::Result<()> {
    let certificate = new_identity(&wanted.file, &wanted.names, wanted.days)?;
    let file = wanted.file.display();
    println!("{certificate}");
    eprintln!(
        "{file}: certificate and private key, {} days. It stays on this machine.\n\
         The lines above, from BEGIN to END CERTIFICATE, are what the cloud side gets (\"cert.pem\", \"public \
         certificate\"); `openssl x509 -in {file}` shows them again.\n\
         Start: secure-relay --identity {file} --client-ca CLOUD.pem --upstream icap://SERVER:1344",
        wanted.days
    );
    Ok(())
}

/// Makes a file (mode 0600) with a certificate for `names`, which signs itself and lasts so many days, and its key.
/// Gives the certificate.
///
/// # Errors
///
/// A file that exists, which is never touched, and what writing says.
pub fn new_identity(file: &Path, names: &[String], days: u32) -> anyhow::Result<String> {
    let (certificate, key) = make(names, days)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(file).with_context(|| format!("cannot make {}", file.display()))?;
    out.write_all(format!("{certificate}{key}").as_bytes())?;
    out.sync_all()?;
    Ok(certificate)
}

fn make(names: &[String], days: u32) -> anyhow::Result<(String, String)> {
    let mut params = CertificateParams::new(names.to_vec()).context("names")?;
    let first = names.first().map_or("secure-relay", String::as_str);
    params.distinguished_name.push(DnType::CommonName, first);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = std::time::SystemTime::now();
    let life = std::time::Duration::from_secs(u64::from(days).saturating_mul(24 * 60 * 60));
    params.not_before = now.into();
    params.not_after = now.checked_add(life).context("too many days")?.into();
    // ECDSA on P-256: what all of TLS 1.2 and 1.3 knows, and ring can make.
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
