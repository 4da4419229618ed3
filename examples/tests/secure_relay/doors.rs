//! Who may come in: certificates, addresses, the PROXY protocol.

use icap_client::rustls::version::{TLS12, TLS13};
use rcgen::{BasicConstraints, IsCa, date_time_ymd};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::pki::{Authority, Pair, connect, connect_with};
use crate::program::{Program, directory, echo, echoes, rest, tunnel};

/// Whether a client with this certificate is served, in both versions of TLS.
async fn is_served(program: &Program, own: Option<&Pair>) -> bool {
    let mut served = Vec::new();
    for version in [&TLS12, &TLS13] {
        // In TLS 1.3 a client learns only from its first read that it was refused.
        served.push(match connect_with(program.address, own, &[version]).await {
            Ok(mut stream) => echoes(&mut stream).await,
            Err(_) => false,
        });
    }
    assert_eq!(served[0], served[1]);
    served[0]
}

#[tokio::test]
async fn a_client_ca_is_required_as_soon_as_it_is_given() {
    let directory = directory();
    let (known, other) = (Authority::new("known"), Authority::new("other"));
    std::fs::write(directory.path().join("ca.pem"), &known.pem).unwrap();
    let config = tunnel(&[echo().await], "client-ca = 'ca.pem'");
    let mut program = Program::start(directory, &config).await;
    assert!(is_served(&program, Some(&known.issue())).await);
    assert!(!is_served(&program, None).await);
    let line = program.says("the client shows no certificate").await;
    assert_eq!((&line["kind"], &line["connection"]), (&"handshake".into(), &"relay".into()));
    assert!(!is_served(&program, Some(&other.issue())).await);
    program.says("not one that is known here").await;
    assert!(!is_served(&program, Some(&known.issue_until(2001))).await);
    program.says("has expired").await;
    assert!(is_served(&program, Some(&known.issue())).await);
}

/// What the recipe calls CAfile is the certificate of the cloud side itself.
#[tokio::test]
async fn the_clients_own_certificate_is_a_client_ca() {
    let directory = directory();
    let cloud = Pair::self_signed("cloud.test");
    std::fs::write(directory.path().join("cloud.pem"), &cloud.certificate).unwrap();
    let config = tunnel(&[echo().await], "client-ca = 'cloud.pem'");
    let program = Program::start(directory, &config).await;
    assert!(is_served(&program, Some(&cloud)).await);
    assert!(!is_served(&program, Some(&Pair::self_signed("cloud.test"))).await);
    assert!(!is_served(&program, None).await);
}

/// As `openssl req -x509` makes it: an authority by its own words.
#[tokio::test]
async fn an_authority_that_is_a_client_itself_is_one_within_its_dates() {
    let own = |year: i32| {
        Pair::self_signed_with("cloud.test", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_after = date_time_ymd(year, 1, 1);
        })
    };
    let (current, expired) = (own(2099), own(2001));
    for (key, serves_expired) in [("client-ca", false), ("pin-client", true)] {
        let directory = directory();
        let both = format!("{}{}", current.certificate, expired.certificate);
        std::fs::write(directory.path().join("cloud.pem"), both).unwrap();
        let config = tunnel(&[echo().await], &format!("{key} = 'cloud.pem'"));
        let mut program = Program::start(directory, &config).await;
        assert!(is_served(&program, Some(&current)).await, "{key}");
        assert_eq!(is_served(&program, Some(&expired)).await, serves_expired, "{key}");
        if !serves_expired {
            program.says("the certificate of the client has expired").await;
        }
    }
}

#[tokio::test]
async fn a_pin_takes_that_certificate_and_no_sibling() {
    let directory = directory();
    let authority = Authority::new("cloud");
    let (pinned, sibling) = (authority.issue(), authority.issue());
    std::fs::write(directory.path().join("cloud.pem"), &pinned.certificate).unwrap();
    let config = tunnel(&[echo().await], "pin-client = 'cloud.pem'");
    let mut program = Program::start(directory, &config).await;
    assert!(is_served(&program, Some(&pinned)).await);
    assert!(!is_served(&program, Some(&sibling)).await);
    program.says("not one that is known here").await;
    assert!(!is_served(&program, None).await);
}

#[tokio::test]
async fn an_open_door_is_warned_about() {
    let program = Program::start(directory(), &tunnel(&[echo().await], "")).await;
    assert!(program.has_said("any client that can connect is served"));
}

/// A client from 127.0.0.2 or the like.
async fn from(source: &str, program: &Program) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(program.address).await.unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_source_that_is_not_on_the_list_is_refused() {
    let directory = directory();
    std::fs::write(directory.path().join("allow.txt"), "127.0.0.1 # here\n").unwrap();
    let config = tunnel(&[echo().await], "allow = 'allow.txt'");
    let mut program = Program::start(directory, &config).await;
    let mut stranger = from("127.0.0.2", &program).await;
    assert!(rest(&mut stranger).await.0.is_empty());
    let line = program.says("not on the allow-list").await;
    assert!(line["source"].as_str().unwrap().starts_with("127.0.0.2:"), "{line}");
    assert!(is_served(&program, None).await);

    std::fs::write(program.path("allow.txt"), "127.0.0.2\n").unwrap();
    program.signal("-HUP");
    program.says("reloaded").await;
    assert!(rest(&mut from("127.0.0.1", &program).await).await.0.is_empty());
    program.says("not on the allow-list").await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_proxy_protocol_is_believed_from_proxies_only() {
    let directory = directory();
    std::fs::write(directory.path().join("allow.txt"), "192.0.2.7\n").unwrap();
    let more = "allow = 'allow.txt'\nproxy-protocol-from = ['127.0.0.1']\nhandshake-timeout = 2";
    let config = tunnel(&[echo().await], more).replace("listen =", "plain-listen =");
    let mut program = Program::start(directory, &config).await;
    let header = |source: &str| format!("PROXY TCP4 {source} 127.0.0.1 1 2\r\n").into_bytes();

    let mut told = from("127.0.0.1", &program).await;
    told.write_all(&header("192.0.2.7")).await.unwrap();
    assert!(echoes(&mut told).await);
    drop(told);
    let line = program.says("ended").await;
    assert_eq!(line["source"], "192.0.2.7:1");

    let mut told = from("127.0.0.1", &program).await;
    told.write_all(&header("192.0.2.8")).await.unwrap();
    rest(&mut told).await.1.unwrap_or_default();
    assert_eq!(program.says("not on the allow-list").await["source"], "192.0.2.8:1");

    let mut liar = from("127.0.0.2", &program).await;
    liar.write_all(&header("192.0.2.7")).await.unwrap();
    rest(&mut liar).await.1.unwrap_or_default();
    let source = program.says("not on the allow-list").await["source"].clone();
    assert!(source.as_str().unwrap().starts_with("127.0.0.2:"), "{source}");

    let mut silent = from("127.0.0.1", &program).await;
    rest(&mut silent).await.1.unwrap_or_default();
    program.says("no PROXY header in time").await;
    let mut other = from("127.0.0.1", &program).await;
    other.write_all(b"OPTIONS icap://a/ ICAP/1.0\r\n\r\n").await.unwrap();
    rest(&mut other).await.1.unwrap_or_default();
    program.says("no PROXY header").await;
}

#[tokio::test]
async fn health_and_metrics_show_what_passes() {
    let server = echo().await;
    let config = format!("admin = '127.0.0.1:0'\n{}", tunnel(&[server], ""));
    let mut program = Program::start(directory(), &config).await;
    let mut stream = connect(program.address, None).await.unwrap();
    assert!(echoes(&mut stream).await);
    let (status, health) = program.admin("/health").await;
    assert_eq!(status, 200);
    assert!(health.contains("\"open\":1") && health.contains("\"up\":true"), "{health}");
    let _ = TcpStream::connect(program.address).await.unwrap().write_all(b"OPTIONS").await;
    program.says("plain text on the TLS port").await;
    stream.shutdown().await.unwrap();
    rest(&mut stream).await.1.unwrap();
    program.says("ended").await;
    let (status, metrics) = program.admin("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "secure_relay_connections_open{connection=\"relay\"}",
        "secure_relay_connections_total{connection=\"relay\",end=\"closed\"} 1",
        "secure_relay_bytes_total{connection=\"relay\",direction=\"from-client\"} 30",
        "secure_relay_bytes_total{connection=\"relay\",direction=\"to-client\"} 30",
        "secure_relay_refused_total{connection=\"relay\",kind=\"handshake\"} 1",
        "secure_relay_certificate_expiry_seconds{connection=\"relay\"",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert_eq!(program.admin("/").await.0, 404);
}
