//! TLS: who is known, what is refused, and how it is changed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use icap_server::rustls::crypto::{CryptoProvider, ring};
use icap_server::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use icap_server::rustls::version::{TLS12, TLS13};
use icap_server::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use icap_server::{InvalidTls, Listener, Reply, Server, Timeouts, Tls, TlsAcceptor};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::stopping::Running;
use crate::support::*;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Each has a name of its own, or a wrong root would be tried.
        let name = format!("root {:02x?}", &key.public_key_raw()[..8]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    fn server(&self) -> Identity {
        self.sign(&named("icap.example"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

fn self_signed(params: &CertificateParams) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    Identity { certificate, key: key.serialize_pem() }
}

impl Identity {
    fn pem(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }

    fn tls(&self) -> Tls {
        Tls::new().crypto_provider(provider()).identity_pem(self.pem())
    }

    /// As the log has it.
    fn fingerprint(&self) -> String {
        let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let hash = suite.common.hash_provider.hash(&certificate);
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A server that says which certificate it saw.
async fn serve(acceptor: TlsAcceptor) -> Server {
    let who = server(|request| async move {
        let seen = request.peer_certificate().map_or("none", |seen| seen.fingerprint()).to_owned();
        let (_, body) = request.into_body().await?;
        http_body_util::BodyExt::collect(body).await?;
        Ok(Reply::unmodified().header("X-Certificate", seen)?)
    });
    who.listen(Listener::bind("127.0.0.1:0").await.unwrap().tls(acceptor))
}

/// A client that trusts this authority.
fn connector(
    authority: &Authority,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(authority.roots());
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate.unwrap()], key).unwrap()
        }
    };
    Arc::new(config).into()
}

async fn open(
    addr: SocketAddr,
    connector: &TlsConnector,
) -> std::io::Result<Client<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("icap.example").unwrap();
    Ok(Client::new(connector.connect(name, stream).await?))
}

/// The certificate that the server saw in one request, or that it would not have it. In TLS 1.3 the client has done
/// its handshake when the server looks at its certificate.
async fn seen(addr: SocketAddr, connector: &TlsConnector) -> std::io::Result<String> {
    let mut client = open(addr, connector).await?;
    client.io.write_all(reqmod_get("Allow: 204\r\n").as_bytes()).await?;
    let mut answer = vec![0; 1000];
    let length = client.io.read(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    let seen = answer.lines().find_map(|line| line.strip_prefix("X-Certificate: "));
    seen.map(Into::into).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

#[tokio::test]
async fn both_versions() {
    let authority = Authority::new();
    let running = Running::start(serve(authority.server().tls().acceptor().unwrap()).await);
    for version in [&TLS12, &TLS13] {
        let connector = connector(&authority, None, &[version]);
        let mut client = open(running.addr, &connector).await.unwrap();
        for _ in 0..3 {
            client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
            assert_eq!(client.answer().await.status(), 100);
            client.say([chunk(vec![b'x'; 200_000]), LAST.into()].concat()).await;
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.body.len()), (200, 200_004));
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn certificates_of_clients() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let known = clients.sign(&named("proxy"));
    let foreign = authority.sign(&named("proxy"));
    let mut past = named("proxy");
    (past.not_before, past.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let expired = clients.sign(&past);
    let alone = self_signed(&past);
    let server = authority.server();
    let rooted = || server.tls().client_roots_pem(clients.pem.as_str());
    let pinned = || server.tls().client_fingerprint(alone.fingerprint());
    let both = || rooted().client_fingerprint(alone.fingerprint());
    let everyone = [None, Some(&known), Some(&foreign), Some(&expired), Some(&alone)];
    for (tls, taken) in [
        // Not asked for, not seen.
        (server.tls(), [Some(false); 5]),
        (rooted(), [None, Some(true), None, None, None]),
        (rooted().client_optional(), [Some(false), Some(true), None, None, None]),
        (pinned(), [None, None, None, None, Some(true)]),
        (pinned().client_optional(), [Some(false), None, None, None, Some(true)]),
        (both(), [None, Some(true), None, None, Some(true)]),
    ] {
        let running = Running::start(serve(tls.acceptor().unwrap()).await);
        for version in [&TLS12, &TLS13] {
            for (number, (identity, taken)) in everyone.iter().zip(taken).enumerate() {
                // With a hint of the server's, clients show only what they think is wanted.
                let hinted = *identity;
                let connector = connector(&authority, hinted, &[version]);
                let result = seen(running.addr, &connector).await.ok();
                let expected = taken.map(|shown| match identity {
                    Some(identity) if shown => identity.fingerprint(),
                    _ => "none".into(),
                });
                assert_eq!(result, expected, "client {number}, {version:?}");
            }
        }
        running.stop().await;
    }
}

#[test]
fn identities() {
    let authority = Authority::new();
    let (one, other) = (authority.server(), authority.server());
    let tls = || Tls::new().crypto_provider(provider());
    let pem = |parts: &[&str]| tls().identity_pem(parts.concat()).acceptor().map(drop);
    let (certificate, key) = (one.certificate.as_str(), one.key.as_str());
    assert_eq!(pem(&[certificate, key]), Ok(()));
    assert_eq!(pem(&[key, "notes between\n", certificate]), Ok(()));
    assert_eq!(pem(&[&authority.pem, key, certificate]), Ok(()));
    assert_eq!(pem(&[certificate, key, &authority.pem, key]), Ok(()));
    let separate = tls().identity_parts(certificate, key);
    assert_eq!(separate.acceptor().map(drop), Ok(()));
    let der = |certificates: &[&str], key: &str| {
        let certificates = certificates.concat();
        let chain = CertificateDer::pem_slice_iter(certificates.as_bytes()).map(Result::unwrap);
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        tls().identity_der(chain.collect(), key).acceptor().map(drop)
    };
    assert_eq!(der(&[&authority.pem, certificate], key), Ok(()));
    assert_eq!(der(&[&other.certificate], key), Err(InvalidTls::KeyMismatch));
    assert_eq!(der(&[], key), Err(InvalidTls::Certificates));
    assert_eq!(
        pem(&[certificate, key, &other.certificate, &other.key]),
        Err(InvalidTls::SeveralKeys)
    );
    assert!(InvalidTls::SeveralKeys.to_string().contains("two different private keys in one PEM"));
    assert_eq!(pem(&[&other.certificate, key]), Err(InvalidTls::KeyMismatch));
    assert_eq!(pem(&[certificate]), Err(InvalidTls::Key));
    assert_eq!(pem(&[key]), Err(InvalidTls::Certificates));
    assert_eq!(pem(&[]), Err(InvalidTls::Key));
    let locked = key.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE");
    let locked = locked.replace("END PRIVATE", "END ENCRYPTED PRIVATE");
    assert_eq!(pem(&[certificate, &locked]), Err(InvalidTls::EncryptedKey));
    let damaged = key.replacen("MI", "MA", 1);
    assert_eq!(pem(&[certificate, &damaged]), Err(InvalidTls::Key));

    let fails = |tls: Tls| tls.acceptor().unwrap_err();
    assert_eq!(fails(tls()), InvalidTls::NoIdentity);
    assert_eq!(fails(one.tls().client_roots_pem("")), InvalidTls::Certificates);
    assert_eq!(fails(one.tls().client_fingerprint("12:34")), InvalidTls::Fingerprint);
    assert_eq!(fails(one.tls().client_optional()), InvalidTls::Conflict);
    assert!(!format!("{:?}", one.tls()).contains("PRIVATE"));
}

/// The key's own certificate is the one that is shown, wherever it stands.
#[tokio::test]
async fn the_certificate_of_the_key_is_shown() {
    let authority = Authority::new();
    let server = authority.server();
    let pem = format!("{}{}{}", authority.pem, server.key, server.certificate);
    let tls = Tls::new().crypto_provider(provider()).identity_pem(pem);
    let running = Running::start(serve(tls.acceptor().unwrap()).await);
    let connector = connector(&authority, None, &[&TLS13]);
    assert_eq!(seen(running.addr, &connector).await.unwrap(), "none");
    running.stop().await;
}

/// Who accepts connections without a [`Listener`] has the same TLS.
#[tokio::test]
async fn a_server_without_a_listener() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let tls = authority.server().tls().client_roots_pem(clients.pem.as_str());
    let acceptor = tokio_rustls::TlsAcceptor::from(tls.into_config().unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = server(|_| async { Ok(Reply::unmodified()) });
    let accepting = tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                served.serve_connection(stream, Some(peer)).await;
            }
        }
    });
    let connector = |identity| connector(&authority, identity, &[&TLS13]);
    let known = clients.sign(&named("proxy"));
    for (identity, is_served) in [(Some(&known), true), (None, false)] {
        let mut client = open(addr, &connector(identity)).await.unwrap();
        if is_served {
            client.say(reqmod_get("Allow: 204\r\n")).await;
            assert_eq!(client.answer().await.status(), 204);
        } else {
            assert!(client.is_closed().await);
        }
    }
    accepting.abort();
}

#[tokio::test]
async fn a_reload_keeps_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    let acceptor = old.server().tls().acceptor().unwrap();
    let running = Running::start(serve(acceptor.clone()).await);
    let (to_old, to_new) = (connector(&old, None, &[&TLS13]), connector(&new, None, &[&TLS13]));
    let mut open = open(running.addr, &to_old).await.unwrap();
    assert!(seen(running.addr, &to_new).await.is_err());
    // What cannot be used changes nothing.
    let broken = Tls::new().crypto_provider(provider()).identity_pem(new.server().key);
    assert_eq!(acceptor.reload(broken), Err(InvalidTls::Certificates));
    assert!(seen(running.addr, &to_old).await.is_ok());
    acceptor.reload(new.server().tls()).unwrap();
    assert!(seen(running.addr, &to_new).await.is_ok());
    assert!(seen(running.addr, &connector(&old, None, &[&TLS13])).await.is_err());
    open.say(reqmod_get("Allow: 204\r\n")).await;
    assert_eq!(open.answer().await.status(), 204);
    drop(open);
    running.stop().await;
}

/// Who was let in under other settings is not let in again for having been there.
#[tokio::test]
async fn a_reload_ends_resumption() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = authority.server();
    let acceptor = server.tls().client_roots_pem(clients.pem.as_str()).acceptor().unwrap();
    let running = Running::start(serve(acceptor.clone()).await);
    for version in [&TLS12, &TLS13] {
        acceptor.reload(server.tls().client_roots_pem(clients.pem.as_str())).unwrap();
        let connector = connector(&authority, Some(&clients.sign(&named("proxy"))), &[version]);
        for _ in 0..2 {
            seen(running.addr, &connector).await.unwrap();
        }
        acceptor.reload(server.tls().client_roots_pem(Authority::new().pem)).unwrap();
        assert!(seen(running.addr, &connector).await.is_err());
    }
    running.stop().await;
}

#[tokio::test]
async fn a_handshake_takes_only_so_long() {
    let authority = Authority::new();
    let mut timeouts = Timeouts::default();
    timeouts.handshake = Duration::from_millis(300);
    let server = serve(authority.server().tls().acceptor().unwrap()).await.timeouts(timeouts);
    let handle = server.handle();
    let running = Running::start(server);
    let started = std::time::Instant::now();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(running.connect().await);
    }
    // A byte now and then is no progress.
    silent[0].say(b"\x16").await;
    // Others are served meanwhile.
    let connector = connector(&authority, None, &[&TLS13]);
    assert_eq!(seen(running.addr, &connector).await.unwrap(), "none");
    for client in &mut silent {
        assert!(client.is_closed().await);
    }
    assert!(started.elapsed() >= timeouts.handshake);
    while handle.connections() > 0 {
        tokio::task::yield_now().await;
    }
    running.stop().await;
}

/// A stop does not wait for those who have not even said who they are.
#[tokio::test]
async fn a_stop_ends_handshakes() {
    let authority = Authority::new();
    let server = serve(authority.server().tls().acceptor().unwrap()).await;
    let handle = server.handle();
    let running = Running::start(server);
    let mut silent = running.connect().await;
    while handle.connections() < 1 {
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(Duration::from_secs(5), running.stop()).await.unwrap();
    assert!(silent.is_closed().await);
}

#[tokio::test]
async fn beyond_the_limit_it_is_said_in_tls() {
    let authority = Authority::new();
    let server = serve(authority.server().tls().acceptor().unwrap()).await.max_connections(0);
    let running = Running::start(server);
    let mut client = open(running.addr, &connector(&authority, None, &[&TLS13])).await.unwrap();
    let refusal = client.answer().await;
    assert_eq!((refusal.status(), refusal.head.close()), (503, true));
    running.stop().await;
}

/// ICAP-288: the end of the socket inside a body is no end of the body, with a farewell or without; between two
/// requests it is only an end.
#[tokio::test]
async fn a_cut_is_a_truncation() {
    let authority = Authority::new();
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let whole = server(move |request| {
        let sender = sender.clone();
        async move {
            let (_, body) = request.into_body().await?;
            let whole = http_body_util::BodyExt::collect(body).await.is_ok();
            sender.send(whole).unwrap();
            Ok(Reply::unmodified())
        }
    });
    let acceptor = authority.server().tls().acceptor().unwrap();
    let listener = Listener::bind("127.0.0.1:0").await.unwrap().tls(acceptor);
    let running = Running::start(whole.listen(listener));
    let connector = connector(&authority, None, &[&TLS13]);
    for farewell in [false, true] {
        for (body, whole) in [("4\r\nabcd\r\n", false), ("4\r\nabcd\r\n0\r\n\r\n", true)] {
            let mut client = open(running.addr, &connector).await.unwrap();
            client.say(respmod("Allow: 204\r\n") + body).await;
            if farewell {
                client.io.shutdown().await.unwrap();
            } else {
                client.io.get_mut().0.shutdown().await.unwrap();
            }
            // A handler that is dropped has not seen a whole body either.
            let end = tokio::time::timeout(Duration::from_millis(500), ends.recv()).await;
            assert_eq!(end.ok().flatten().unwrap_or(false), whole, "{farewell}");
            if whole {
                assert_eq!(client.answer().await.status(), 204);
            }
        }
    }
    running.stop().await;
}
