//! `icaps`: who is trusted, what a cut means, and how long a handshake may take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use icap_client::rustls::crypto::{CryptoProvider, ring};
use icap_client::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use icap_client::rustls::server::WebPkiClientVerifier;
use icap_client::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use icap_client::{Client, ClientBuilder, Error, Invalid, InvalidTls, Stage, Timeouts, Tls};
use icap_proto::ServiceUri;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::peer::{HELLO, NO_CONTENT, answered, by_hand, get, passes, read};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The settings of a client that has this test's cryptography and nothing else.
fn tls() -> Tls {
    Tls::new().crypto_provider(provider())
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
        self.sign(&named("av.example"))
    }
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

/// One that signs for itself.
fn self_signed(params: &CertificateParams) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    Identity { certificate, key: key.serialize_pem() }
}

impl Identity {
    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        (vec![certificate], PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }

    fn config(&self) -> ServerConfig {
        let (chain, key) = self.parts();
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        builder.with_no_client_auth().with_single_cert(chain, key).unwrap()
    }

    /// For clients that this authority knows.
    fn config_for(&self, clients: &Authority) -> ServerConfig {
        let (chain, key) = self.parts();
        let roots = Arc::new(store(&clients.pem));
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_client_cert_verifier(verifier.build().unwrap());
        builder.with_single_cert(chain, key).unwrap()
    }

    /// As `openssl x509 -fingerprint -sha256` shows it.
    fn fingerprint(&self) -> String {
        let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
        let hash = suite.common.hash_provider.hash(&self.parts().0[0]);
        let pairs: Vec<_> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

fn store(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    roots
}

/// Listens, and plays `script` with each connection that gets through the handshake.
async fn listen<F>(
    config: ServerConfig,
    script: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = tokio::spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            if let Ok(io) = acceptor.accept(io).await {
                script(io).await;
            }
        }
    });
    (address, server)
}

/// A client of the server at `address`, which is to be av.example.
fn client(address: SocketAddr, tls: Tls) -> ClientBuilder {
    let connector = move |_: ServiceUri| TcpStream::connect(address);
    by_hand("icaps://av.example/s").connector(connector).tls(tls)
}

/// Reads a request without a body; false at the end of the connection.
async fn request(io: &mut TlsStream<TcpStream>) -> bool {
    let mut text = Vec::new();
    while !text.ends_with(b"Host: h\r\n\r\n") {
        if !matches!(io.read_buf(&mut text).await, Ok(count) if count > 0) {
            return false;
        }
    }
    true
}

async fn answer_all(mut io: TlsStream<TcpStream>) {
    while request(&mut io).await {
        io.write_all(NO_CONTENT.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
    }
}

/// One call to a server with this configuration.
async fn call(config: ServerConfig, tls: Tls) -> Result<(), Error> {
    let (address, server) = listen(config, answer_all).await;
    let outcome = client(address, tls).build()?.reqmod(get()).await;
    server.abort();
    outcome.map(passes).map_err(Error::from)
}

/// Holds a handshake to have failed for this reason.
fn refused(result: Result<(), Error>, reason: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error}");
    assert!(!error.is_retryable());
    assert!(error.to_string().contains(reason), "{error}");
}

#[tokio::test]
async fn a_chain_to_a_known_root() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server();
    call(server.config(), tls().roots_pem(authority.pem.as_str())).await.unwrap();
    // One of several roots, in one text or in two.
    let both = format!("{}{}", other.pem, authority.pem);
    call(server.config(), tls().roots_pem(both)).await.unwrap();
    let both = tls().roots_pem(other.pem.as_str()).roots_pem(authority.pem.as_str());
    call(server.config(), both).await.unwrap();
}

/// ICAP-288, ICAP-418: without a word from the caller everything is checked.
#[tokio::test]
async fn certificates_are_checked() {
    let (authority, other) = (Authority::new(), Authority::new());
    let trusting = || tls().roots_pem(authority.pem.as_str());
    // Another authority, and those of the system.
    refused(call(other.server().config(), trusting()).await, "UnknownIssuer");
    match call(authority.server().config(), tls()).await {
        // A machine without root certificates.
        Err(Error::Invalid(Invalid::TlsSettings(InvalidTls::NoRoots))) => {}
        result => refused(result, "UnknownIssuer"),
    }
    let wrong_name = authority.sign(&named("other.example"));
    refused(call(wrong_name.config(), trusting()).await, "not valid for name");
    let mut params = named("av.example");
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    refused(call(authority.sign(&params).config(), trusting()).await, "expired");
    params.not_before = date_time_ymd(2090, 1, 1);
    params.not_after = date_time_ymd(2091, 1, 1);
    refused(call(authority.sign(&params).config(), trusting()).await, "not valid yet");
    // One of its own.
    let alone = self_signed(&named("av.example"));
    refused(call(alone.config(), trusting()).await, "certificate");
}

/// The name of the certificate in place of the host.
#[tokio::test]
async fn the_server_may_have_another_name() {
    let authority = Authority::new();
    let server = authority.sign(&named("scan-7.internal"));
    let tls = || tls().roots_pem(authority.pem.as_str());
    refused(call(server.config(), tls()).await, "not valid for name");
    call(server.config(), tls().server_name("scan-7.internal")).await.unwrap();
    refused(call(server.config(), tls().server_name("av.example")).await, "not valid for name");
}

/// Addresses, as the certificate has them.
#[tokio::test]
async fn addresses_are_names() {
    let authority = Authority::new();
    for host in ["127.0.0.1", "[::1]"] {
        let name = host.trim_matches(['[', ']']);
        let (address, server) = listen(authority.sign(&named(name)).config(), answer_all).await;
        let connector = move |_: ServiceUri| TcpStream::connect(address);
        let client = by_hand(&format!("icaps://{host}/s")).connector(connector);
        let client = client.tls(tls().roots_pem(authority.pem.as_str())).build().unwrap();
        assert_eq!(client.uri().port(), 11344);
        passes(client.reqmod(get()).await.unwrap());
        server.abort();
    }
}

#[tokio::test]
async fn a_pinned_certificate() {
    let mut params = named("whatever.example");
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    let (old, new) = (self_signed(&params), self_signed(&named("av.example")));
    call(old.config(), tls().fingerprint(old.fingerprint())).await.unwrap();
    let plain = old.fingerprint().replace(':', "").to_lowercase();
    call(old.config(), tls().fingerprint(plain)).await.unwrap();
    let both = || tls().fingerprint(old.fingerprint()).fingerprint(new.fingerprint());
    call(old.config(), both()).await.unwrap();
    call(new.config(), both()).await.unwrap();
    let reason = "ApplicationVerificationFailure";
    let tls = tls().fingerprint(old.fingerprint());
    let result = call(new.config(), tls).await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error}");
    let text = format!("{error} {error:?}");
    assert!(text.contains(reason), "{text}");
}

/// Whoever shows the pinned certificate without having its key is refused: signatures are checked, in both
/// versions.
#[tokio::test]
async fn a_pinned_certificate_without_its_key() {
    #[derive(Debug)]
    struct Stolen(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Stolen {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    let (owner, thief) = (self_signed(&named("a.example")), self_signed(&named("b.example")));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let key = ring::sign::any_supported_type(&thief.parts().1).unwrap();
        let stolen = rustls::sign::CertifiedKey::new(owner.parts().0, key);
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[version]).unwrap().with_no_client_auth();
        let config = builder.with_cert_resolver(Arc::new(Stolen(Arc::new(stolen))));
        refused(call(config, tls().fingerprint(owner.fingerprint())).await, "BadSignature");
    }
}

#[tokio::test]
async fn clients_show_their_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = authority.server();
    let tls = || tls().roots_pem(authority.pem.as_str());
    let known = clients.sign(&named("proxy-1"));
    let with = |identity: &Identity| {
        tls().client_pem(identity.certificate.as_str(), identity.key.as_str())
    };
    call(server.config_for(&clients), with(&known)).await.unwrap();
    // A server that does not ask.
    call(server.config(), with(&known)).await.unwrap();
    for tls in [tls(), with(&authority.sign(&named("proxy-1")))] {
        let error = call(server.config_for(&clients), tls).await.unwrap_err();
        // In TLS 1.3 the client has done its handshake when the server looks at its certificate.
        let legs = matches!(error, Error::Tls(_) | Error::Read(_) | Error::Write(_));
        assert!(legs && !matches!(error, Error::Closed(_)), "{error}");
    }
}

/// A whole configuration of rustls.
#[tokio::test]
async fn a_configuration_of_rustls() {
    let authority = Authority::new();
    let config = || {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(store(&authority.pem));
        Arc::new(builder.with_no_client_auth())
    };
    let server = authority.server();
    call(server.config(), Tls::with_config(config())).await.unwrap();
    let tls = Tls::with_config(config()).server_name("other.example");
    refused(call(server.config(), tls).await, "not valid for name");
    // Settings that it would not heed are no secret.
    let tls = Tls::with_config(config()).fingerprint(server.fingerprint());
    invalid(Client::builder("icaps://s/").tls(tls), InvalidTls::Conflict);
}

fn invalid(builder: ClientBuilder, expected: InvalidTls) {
    match builder.build() {
        Err(Error::Invalid(Invalid::TlsSettings(invalid))) => assert_eq!(invalid, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_that_cannot_be_used_are_refused() {
    let authority = Authority::new();
    let (one, other) = (authority.server(), authority.server());
    let build = |tls| Client::builder("icaps://av.example/s").tls(tls);
    invalid(Client::builder("icap://av.example/s").tls(tls()), InvalidTls::PlainUri);
    invalid(build(tls().roots_pem("")), InvalidTls::Certificates);
    invalid(build(tls().roots_pem(one.key.as_str())), InvalidTls::Certificates);
    invalid(build(tls().fingerprint("12:34")), InvalidTls::Fingerprint);
    let pinned = tls().fingerprint(one.fingerprint()).roots_pem(authority.pem.as_str());
    invalid(build(pinned), InvalidTls::Conflict);
    let rooted = || tls().roots_pem(authority.pem.as_str());
    invalid(build(rooted().server_name("not a name")), InvalidTls::ServerName);
    let pair = |chain: &str, key: &str| build(rooted().client_pem(chain, key));
    invalid(pair("", &one.key), InvalidTls::Certificates);
    invalid(pair(&one.certificate, ""), InvalidTls::Key);
    invalid(pair(&one.certificate, &other.key), InvalidTls::Key);
    pair(&one.certificate, &one.key).build().unwrap();
    assert!(!format!("{:?}", rooted().client_pem("", one.key.as_str())).contains("PRIVATE"));
}

/// ICAP-288: an answer in many records, cut behind each of them, with a farewell and without: never a clean end.
#[tokio::test]
async fn an_answer_cut_between_records_is_an_error() {
    let authority = Authority::new();
    for cut in 0..HELLO.len() {
        for farewell in [false, true] {
            let script = move |mut io: TlsStream<TcpStream>| async move {
                if !request(&mut io).await {
                    return;
                }
                for byte in &HELLO.as_bytes()[..cut] {
                    io.write_all(&[*byte]).await.unwrap();
                }
                io.flush().await.unwrap();
                if farewell {
                    io.shutdown().await.unwrap();
                }
            };
            // A handshake for each would take long: only some heads.
            if cut < HELLO.len() - 16 && cut % 16 != 0 {
                continue;
            }
            let (address, server) = listen(authority.server().config(), script).await;
            let tls = tls().roots_pem(authority.pem.as_str());
            let error = match client(address, tls).build().unwrap().reqmod(get()).await {
                Err(failure) => Error::from(failure),
                Ok(outcome) => answered(outcome).collect().await.unwrap_err(),
            };
            assert!(matches!(error, Error::Closed(_)), "{cut}: {error}");
            server.abort();
        }
    }
}

/// Between messages it is a connection that has closed, whatever it said: the next call has a new one.
#[tokio::test]
async fn an_end_between_messages_is_only_an_end() {
    let authority = Authority::new();
    for farewell in [false, true] {
        let script = move |mut io: TlsStream<TcpStream>| async move {
            assert!(request(&mut io).await);
            io.write_all(HELLO.as_bytes()).await.unwrap();
            io.flush().await.unwrap();
            if farewell {
                io.shutdown().await.unwrap();
            }
        };
        let (address, server) = listen(authority.server().config(), script).await;
        let tls = tls().roots_pem(authority.pem.as_str());
        let client = client(address, tls).build().unwrap();
        for _ in 0..3 {
            assert_eq!(read(answered(client.reqmod(get()).await.unwrap())).await, "HELLO");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.abort();
    }
}

/// One handshake for many calls, and a farewell at the end.
#[tokio::test]
async fn connections_are_kept_and_closed_politely() {
    let authority = Authority::new();
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let script = move |mut io: TlsStream<TcpStream>| {
        let sender = sender.clone();
        async move {
            for _ in 0..3 {
                assert!(request(&mut io).await);
                io.write_all(HELLO.as_bytes()).await.unwrap();
                io.flush().await.unwrap();
            }
            // Without close_notify this is an error.
            sender.send(io.read(&mut [0; 1]).await.map_err(|error| error.kind())).unwrap();
        }
    };
    let (address, server) = listen(authority.server().config(), script).await;
    let client = client(address, tls().roots_pem(authority.pem.as_str())).build().unwrap();
    for _ in 0..3 {
        assert_eq!(read(answered(client.reqmod(get()).await.unwrap())).await, "HELLO");
    }
    drop(client);
    assert_eq!(ends.recv().await.unwrap(), Ok(0));
    server.abort();
}

/// A server that takes the connection and says nothing.
#[tokio::test(start_paused = true)]
async fn a_handshake_takes_only_so_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut timeouts = Timeouts::default();
    timeouts.handshake = Duration::from_secs(7);
    let authority = Authority::new();
    let builder = client(address, tls().roots_pem(authority.pem.as_str()));
    let client = builder.timeouts(timeouts).max_connections(1).build().unwrap();
    for _ in 0..2 {
        let started = Instant::now();
        let failure = client.reqmod(get()).await.unwrap_err();
        assert!(matches!(failure.error(), Error::Timeout(Stage::Handshake)), "{failure}");
        assert_eq!(failure.to_string(), "timeout in the TLS handshake");
        assert_eq!(started.elapsed().as_secs(), 7);
        assert!(failure.original().is_some());
    }
}

/// What speaks no TLS at all.
#[tokio::test]
async fn plain_servers_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        io.write_all(b"ICAP/1.0 403 Forbidden\r\n\r\n").await.unwrap();
        let _ = io.read(&mut [0; 1000]).await;
    });
    let authority = Authority::new();
    let client = client(address, tls().roots_pem(authority.pem.as_str())).build().unwrap();
    refused(client.reqmod(get()).await.map(passes).map_err(Error::from), "corrupt message");
    server.await.unwrap();
}
