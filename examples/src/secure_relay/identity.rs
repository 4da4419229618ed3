//! Certificates and keys in PEM: what a file holds, what belongs together, and what is wrong with it in one sentence.
//!
//! `icap-server` reads PEM, too, and says of what it cannot use one of a few words. Here the files come from recipes
//! that people follow by hand: each slip has its sentence with the way out, a chain is put in order, and what does not
//! belong to it is warned about and not sent.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::{PemObject, SectionKind};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::facts::Facts;

/// The largest PEM file that is read: 1 MiB.
const MAX_PEM: u64 = 1 << 20;

/// Who the relay is: a certificate, those that lead from it to its root, and its private key.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// What is odd but can be used.
    pub(crate) warnings: Vec<String>,
}

impl Identity {
    /// Reads certificates and the key from `certificates`, or the key from `key` when that is another file. The
    /// order of the parts does not matter.
    ///
    /// # Errors
    ///
    /// No certificate, no key, a key with a pass phrase, two keys, a key that fits no certificate, a file that
    /// everybody may read: each as a sentence that says what to do.
    pub(crate) fn load(
        certificates: &Path,
        key: Option<&Path>,
        provider: &CryptoProvider,
    ) -> anyhow::Result<Self> {
        let key_file = key.unwrap_or(certificates);
        let mut warnings = Vec::from_iter(check_mode(key_file)?);
        let mut text = read(certificates)?;
        if let Some(key) = key {
            text.push(b'\n');
            text.extend(read(key)?);
        }
        let mut identity = Self::from_pem(&text, provider)
            .with_context(|| format!("identity {}", certificates.display()))?;
        warnings.append(&mut identity.warnings);
        Ok(Self { warnings, ..identity })
    }

    /// The same from text.
    pub(crate) fn from_pem(pem: &[u8], provider: &CryptoProvider) -> anyhow::Result<Self> {
        let (certificates, mut keys) = parts(pem)?;
        ensure!(!certificates.is_empty(), "no certificate in it");
        ensure!(
            keys.len() < 2,
            "{} different private keys in it: `>>` adds to a file that was there before, so the recipe was run \
             twice; make the file anew with `>`, from one key and its certificate",
            keys.len()
        );
        let key = keys.pop().context("no private key in it")?;
        let signing = provider.key_provider.load_private_key(key.clone_key());
        let signing = signing.map_err(|error| anyhow::anyhow!("the private key: {error}"))?;
        let public = signing.public_key().context("the private key has no public part")?;

        let mut own = Vec::new();
        let mut others = Vec::new();
        for certificate in certificates {
            let (_, parsed) = X509Certificate::from_der(&certificate)
                .map_err(|_| anyhow::anyhow!("a certificate in it cannot be read"))?;
            let is_own = parsed.tbs_certificate.subject_pki.raw == public.as_ref();
            if is_own { own.push(certificate) } else { others.push(certificate) }
        }
        ensure!(own.len() < 2, "{} different certificates for the one key in it", own.len());
        let leaf = own.pop().context(
            "the private key belongs to none of its certificates: key and certificate are from different runs",
        )?;
        let (chain, left_over) = in_order(leaf, others);
        let warnings = left_over
            .iter()
            .map(|other| format!("{} is not part of the chain and not sent", Facts::of(other)))
            .collect();
        Ok(Self { chain, key, warnings })
    }

    /// The chain, the certificate of the key first, and the key.
    pub(crate) fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }

    /// For rustls, which checks the pair once more.
    pub(crate) fn certified(&self, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
        Ok(CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), provider)?)
    }

    /// The certificate of the relay itself.
    pub(crate) fn facts(&self) -> Facts {
        self.chain.first().map(Facts::of).unwrap_or_default()
    }
}

/// A file of certificates of others.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    pub(crate) list: Vec<CertificateDer<'static>>,
    /// The same as text.
    pub(crate) pem: Vec<u8>,
}

impl Certificates {
    /// At least one; a key beside them is an error, since this file is to be handed around.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let pem = read(path)?;
        let (list, keys) = parts(&pem).with_context(|| path.display().to_string())?;
        ensure!(!list.is_empty(), "{}: no certificate in it", path.display());
        ensure!(
            keys.is_empty(),
            "{}: a private key beside the certificates: this is the file of the other side, which has no key",
            path.display()
        );
        Ok(Self { list, pem })
    }
}

/// Certificates and keys, each once: what was added twice is there once.
fn parts(
    pem: &[u8],
) -> anyhow::Result<(Vec<CertificateDer<'static>>, Vec<PrivateKeyDer<'static>>)> {
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    if memchr::memmem::find(pem, b"ENCRYPTED").is_some() {
        bail!(
            "the private key has a pass phrase, which nobody is there to type: `openssl pkey -in OLD -out NEW` \
             takes it off"
        );
    }
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|error| anyhow::anyhow!("not PEM: {error}"))?;
        if kind == SectionKind::Certificate {
            let certificate = CertificateDer::from(der);
            if !certificates.contains(&certificate) {
                certificates.push(certificate);
            }
        } else if let Some(key) = PrivateKeyDer::from_pem(kind, der)
            && !keys.contains(&key)
        {
            keys.push(key);
        }
    }
    Ok((certificates, keys))
}

/// From the leaf to its root, and what does not belong to it.
fn in_order(
    leaf: CertificateDer<'static>,
    mut others: Vec<CertificateDer<'static>>,
) -> (Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>) {
    let mut chain = vec![leaf];
    while let Some(position) =
        chain.last().and_then(|last| others.iter().position(|other| is_issued_by(last, other)))
    {
        chain.push(others.swap_remove(position));
    }
    (chain, others)
}

fn is_issued_by(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let Ok((_, issuer)) = X509Certificate::from_der(issuer) else { return false };
    certificate.issuer().as_raw() == issuer.subject().as_raw()
}

/// Refuses a key that everybody may read or others may write; a group that may read it is worth a warning, since
/// Debian keeps keys that way (`ssl-cert`).
#[cfg(unix)]
fn check_mode(path: &Path) -> anyhow::Result<Option<String>> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    let mode = metadata.permissions().mode() & 0o777;
    let path = path.display();
    ensure!(
        mode & 0o027 == 0,
        "{path}: the private key is open to other users (mode {mode:04o}): chmod 600 {path}"
    );
    Ok((mode & 0o040 != 0).then(|| format!("{path}: the group may read the key (mode {mode:04o})")))
}

#[cfg(not(unix))]
fn check_mode(_path: &Path) -> anyhow::Result<Option<String>> {
    Ok(None)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    file.take(MAX_PEM.saturating_add(1))
        .read_to_end(&mut text)
        .with_context(|| path.display().to_string())?;
    ensure!(
        u64::try_from(text.len()).is_ok_and(|length| length <= MAX_PEM),
        "{}: larger than 1 MiB, no PEM file is",
        path.display()
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use tokio_rustls::rustls::crypto::ring;

    use super::*;

    fn self_signed() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["relay.test".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn load(pem: &str) -> Result<Identity, String> {
        Identity::from_pem(pem.as_bytes(), &ring::default_provider())
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_order_of_the_parts_does_not_matter() {
        let (certificate, key) = self_signed();
        for pem in [format!("{certificate}{key}"), format!("{key}{certificate}")] {
            let identity = load(&pem).unwrap();
            assert_eq!(identity.chain.len(), 1);
            identity.certified(&ring::default_provider()).unwrap();
        }
    }

    #[test]
    fn the_same_appended_twice_is_the_same() {
        let (certificate, key) = self_signed();
        let once = format!("{key}{certificate}");
        assert_eq!(load(&format!("{once}{once}")).unwrap().chain.len(), 1);
    }

    #[test]
    fn a_recipe_that_was_run_twice_is_refused() {
        let ((first, first_key), (second, second_key)) = (self_signed(), self_signed());
        let error = load(&format!("{first_key}{first}{second_key}{second}")).unwrap_err();
        assert!(error.contains("2 different private keys") && error.contains("`>>`"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let ((certificate, key), (_, other_key)) = (self_signed(), self_signed());
        let again = CertificateParams::new(["relay.test".to_owned()]).unwrap();
        let again = again.self_signed(&KeyPair::from_pem(&key).unwrap()).unwrap().pem();
        for (pem, word) in [
            (String::new(), "no certificate"),
            (key.clone(), "no certificate"),
            (certificate.clone(), "no private key"),
            (format!("{certificate}{other_key}"), "belongs to none"),
            (format!("{certificate}{again}{key}"), "2 different certificates for the one key"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----".to_owned(), "pass phrase"),
            ("-----BEGIN CERTIFICATE-----\nnonsense".to_owned(), "not PEM"),
        ] {
            let error = load(&pem).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_chain_is_put_in_order_and_strangers_are_left_out() {
        let authority = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params, key)
        };
        let (root, root_key) = authority("root");
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let root = Issuer::new(root, root_key);
        let (middle, middle_key) = authority("middle");
        let middle_pem = middle.signed_by(&middle_key, &root).unwrap().pem();
        let middle = Issuer::new(middle, middle_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["relay.test".to_owned()]).unwrap();
        let leaf_pem = leaf.signed_by(&key, &middle).unwrap().pem();
        let (stranger, _) = self_signed();

        let key = key.serialize_pem();
        let identity = load(&format!("{stranger}{root_pem}{key}{middle_pem}{leaf_pem}")).unwrap();
        let names: Vec<_> = identity.chain.iter().map(|one| Facts::of(one).subject).collect();
        assert!(names[1].contains("middle") && names[2].contains("root"), "{names:?}");
        assert_eq!((names.len(), identity.warnings.len()), (3, 1));
    }

    #[cfg(unix)]
    #[test]
    fn keys_that_others_can_read_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (certificate, key) = self_signed();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("relay.pem");
        std::fs::write(&file, certificate + &key).unwrap();
        for (mode, accepted, warnings) in
            [(0o600, true, 0), (0o640, true, 1), (0o644, false, 0), (0o620, false, 0)]
        {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            match Identity::load(&file, None, &ring::default_provider()) {
                Ok(identity) => assert_eq!((true, warnings), (accepted, identity.warnings.len())),
                Err(error) => assert!(!accepted && error.to_string().contains("chmod 600")),
            }
        }
    }
}
