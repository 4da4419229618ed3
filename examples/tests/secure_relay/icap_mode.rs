//! Mode `icap`: what is said on both sides of the relay, byte for byte.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::pki::connect;
use crate::program::{LONG, Program, directory, icap, nobody, rest, serve};

/// One end of a conversation.
pub(crate) struct Talk<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads up to and with this text.
    async fn hear(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        let reading = async {
            while !heard.ends_with(end.as_bytes()) {
                match self.stream.read_u8().await {
                    Ok(byte) => heard.push(byte),
                    Err(error) => {
                        heard.extend(format!("[{error}]").bytes());
                        break;
                    }
                }
            }
        };
        let in_time = timeout(LONG, reading).await.is_ok();
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(in_time && heard.ends_with(end), "not {end:?} but {heard:?}");
        heard
    }

    async fn head(&mut self) -> String {
        self.hear("\r\n\r\n").await
    }

    /// Nothing arrives for a while.
    async fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        timeout(Duration::from_millis(300), self.stream.read(&mut byte)).await.is_err()
    }
}

/// A server whose side of each conversation a test speaks itself.
struct Back {
    listener: TcpListener,
    address: SocketAddr,
}

impl Back {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    async fn accept(&self) -> Talk<TcpStream> {
        let (stream, _) = timeout(LONG, self.listener.accept()).await.expect("nobody").unwrap();
        Talk { stream }
    }
}

async fn front(program: &Program) -> Talk<TcpStream> {
    Talk { stream: TcpStream::connect(program.address).await.unwrap() }
}

async fn relay(upstream: &[SocketAddr], more: &str) -> Program {
    Program::start(directory(), &icap(upstream, more)).await
}

const HTTP: &str = "POST http://a/up HTTP/1.1\r\nhOSt:  a\r\nContent-Length: 9\r\n\r\n";

/// A REQMOD with these ICAP lines and this behind its heads.
fn reqmod(lines: &str, body: &str) -> String {
    format!(
        "REQMOD icap://relay/scan?mode=x ICAP/1.0\r\nHost: relay\r\nX-Mine: A  b\r\n{lines}\
         Encapsulated: req-hdr=0, req-body={}\r\n\r\n{HTTP}{body}",
        HTTP.len()
    )
}

const PAGE: &str = "HTTP/1.1 403 Forbidden\r\nconTent-Type:  text/plain\r\n\r\n";

fn answer(status: &str, lines: &str, body: &str) -> String {
    format!(
        "ICAP/1.0 {status}\r\nISTag: \"t-1\"\r\n{lines}Encapsulated: res-hdr=0, res-body={}\r\n\r\n{PAGE}{body}",
        PAGE.len()
    )
}

#[tokio::test]
async fn a_204_at_the_preview() {
    let back = Back::new().await;
    let mut program = relay(&[back.address], "profile = 'symantec-dlp'").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 4\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let mut server = back.accept().await;
    let head = server.head().await;
    assert!(head.starts_with("REQMOD icap://127.0.0.1:"), "{head}");
    assert!(head.contains("/scan?mode=x ICAP/1.0\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nHost: {}\r\n", back.address)), "{head}");
    assert!(head.contains("\r\nX-Mine: A  b\r\n"), "{head}");
    assert!(head.contains("\r\nPreview: 4\r\n"), "{head}");
    // What the client did not say the relay does not say.
    for name in ["Allow", "User-Agent", "X-Client-IP", "Connection"] {
        assert!(!head.contains(&format!("\r\n{name}:")), "{head}");
    }
    assert_eq!(server.hear("0\r\n\r\n").await, format!("{HTTP}4\r\nabcd\r\n0\r\n\r\n"));
    let fields =
        "X-Violations-Found: 1\r\n\tfile.doc\r\n\tEICAR\r\n\t0\r\n\t0\r\nService: av/1\r\n";
    server.say(format!("ICAP/1.0 204 Nothing  to do\r\nISTag: \"t-1\"\r\n{fields}\r\n")).await;
    let head = client.head().await;
    assert_eq!(head, format!("ICAP/1.0 204 Nothing  to do\r\nISTag: \"t-1\"\r\n{fields}\r\n"));
    let line = program.says("transaction complete").await;
    assert_eq!((&line["status"], &line["bytes_in"]), (&Value::from(204), &Value::from(4)));
    assert_eq!(line["upstream"], format!("icap://{}", back.address));
    assert!(line["verdict"].is_string(), "{line}");
    // Both connections are used again.
    client.say(reqmod("Preview: 4\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    assert!(server.head().await.starts_with("REQMOD "));
}

#[tokio::test]
async fn a_continue_of_the_server_is_one_for_the_client() {
    let back = Back::new().await;
    let program = relay(&[back.address], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 4\r\nAllow: 204, 206\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let mut server = back.accept().await;
    assert!(server.head().await.contains("\r\nAllow: 204, 206\r\n"));
    server.hear("0\r\n\r\n").await;
    assert!(client.is_quiet().await);
    server.say("ICAP/1.0 100 Continue\r\n\r\n").await;
    assert!(client.head().await.starts_with("ICAP/1.0 100 Continue\r\n"));
    client.say("5\r\nefghi\r\n0\r\n\r\n").await;
    assert_eq!(server.hear("0\r\n\r\n").await, "5\r\nefghi\r\n0\r\n\r\n");
    server.say(answer("200 OK", "X-Infection-Found: Type=0;\r\n", "3\r\nbad\r\n0\r\n\r\n")).await;
    let head = client.head().await;
    assert!(head.contains("\r\nX-Infection-Found: Type=0;\r\n"), "{head}");
    assert_eq!(client.hear("0\r\n\r\n").await, format!("{PAGE}3\r\nbad\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn a_continue_and_the_answer_in_one_breath() {
    let back = Back::new().await;
    let program = relay(&[back.address], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 4\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let mut server = back.accept().await;
    server.head().await;
    server.hear("\r\n0\r\n\r\n").await;
    let both = format!("ICAP/1.0 100 Continue\r\n\r\n{}", answer("200 OK", "", "3\r\nbad\r\n"));
    server.say(both).await;
    assert!(client.head().await.starts_with("ICAP/1.0 100 Continue\r\n"));
    assert!(client.head().await.starts_with("ICAP/1.0 200 OK\r\n"));
    client.hear("bad\r\n").await;
    client.say("5\r\nefghi\r\n0\r\n\r\n").await;
    assert_eq!(server.hear("0\r\n\r\n").await, "5\r\nefghi\r\n0\r\n\r\n");
    server.say("0\r\n\r\n").await;
    client.hear("0\r\n\r\n").await;
}

#[tokio::test]
async fn ieof_stays_ieof_and_no_bytes_are_no_bytes() {
    let back = Back::new().await;
    let program = relay(&[back.address], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 1024\r\n", "4\r\nabcd\r\n0; ieof\r\n\r\n")).await;
    let mut server = back.accept().await;
    assert!(server.head().await.contains("\r\nPreview: 1024\r\n"));
    assert_eq!(server.hear("ieof\r\n\r\n").await, format!("{HTTP}4\r\nabcd\r\n0; ieof\r\n\r\n"));
    server.say("ICAP/1.0 204 OK\r\nISTag: \"t\"\r\n\r\n").await;
    client.head().await;

    client.say(reqmod("Preview: 0\r\n", "0\r\n\r\n")).await;
    assert!(server.head().await.contains("\r\nPreview: 0\r\n"));
    assert_eq!(server.hear("\r\n0\r\n\r\n").await, format!("{HTTP}0\r\n\r\n"));
    server.say("ICAP/1.0 100 Continue\r\n\r\n").await;
    client.head().await;
    client.say("1\r\na\r\n0\r\n\r\n").await;
    assert_eq!(server.hear("0\r\n\r\n").await, "1\r\na\r\n0\r\n\r\n");
    server.say(answer("200 OK", "", "0\r\n\r\n")).await;
    client.head().await;
    assert_eq!(client.hear("0\r\n\r\n").await, format!("{PAGE}0\r\n\r\n"));

    // A message without a body, with a preview all the same.
    let bodiless = format!(
        "REQMOD icap://relay/scan ICAP/1.0\r\nHost: relay\r\nPreview: 0\r\n\
         Encapsulated: req-hdr=0, null-body={}\r\n\r\n{HTTP}",
        HTTP.len()
    );
    client.say(bodiless).await;
    let head = server.head().await;
    assert!(head.contains("\r\nPreview: 0\r\n") && head.contains("null-body"), "{head}");
    assert_eq!(server.head().await, HTTP);
    server.say("ICAP/1.0 204 OK\r\nISTag: \"t\"\r\n\r\n").await;
    client.head().await;
}

/// Not what RFC 3507 has in mind, but no deadlock either.
#[tokio::test]
async fn a_preview_shorter_than_it_was_announced() {
    let back = Back::new().await;
    let program = relay(&[back.address], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 1024\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let mut server = back.accept().await;
    assert!(server.head().await.contains("\r\nPreview: 4\r\n"));
    assert_eq!(server.hear("\r\n0\r\n\r\n").await, format!("{HTTP}4\r\nabcd\r\n0\r\n\r\n"));
    server.say("ICAP/1.0 204 OK\r\nISTag: \"t\"\r\n\r\n").await;
    client.head().await;
}

#[tokio::test]
async fn a_206_says_where_the_original_goes_on() {
    let back = Back::new().await;
    let program = relay(&[back.address], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 4\r\nAllow: 206\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let mut server = back.accept().await;
    server.head().await;
    server.hear("\r\n0\r\n\r\n").await;
    let body = "3\r\nnew\r\n0; use-original-body=2\r\n\r\n";
    let head = answer("206 Partial Content", "", "").replace("res-hdr", "req-hdr");
    let head = head.replace("res-body", "req-body").replace(PAGE, "");
    let head = head.replace(&format!("={}\r\n", PAGE.len()), &format!("={}\r\n", HTTP.len()));
    server.say(format!("{head}{HTTP}{body}")).await;
    assert!(client.head().await.starts_with("ICAP/1.0 206 Partial Content\r\n"));
    assert_eq!(client.hear("=2\r\n\r\n").await, format!("{HTTP}{body}"));
}

#[tokio::test]
async fn an_early_answer_while_the_upload_goes_on() {
    let back = Back::new().await;
    let program = relay(&[back.address], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("", "4\r\nabcd\r\n")).await;
    let mut server = back.accept().await;
    server.head().await;
    server.hear("abcd\r\n").await;
    server.say(answer("200 OK", "", "3\r\nbad\r\n")).await;
    client.head().await;
    assert_eq!(client.hear("bad\r\n").await, format!("{PAGE}3\r\nbad\r\n"));
    // Both directions go on.
    client.say("5\r\nefghi\r\n").await;
    assert_eq!(server.hear("efghi\r\n").await, "5\r\nefghi\r\n");
    server.say("1\r\n!\r\n").await;
    assert_eq!(client.hear("!\r\n").await, "1\r\n!\r\n");
    client.say("0\r\n\r\n").await;
    server.hear("0\r\n\r\n").await;
    server.say("0\r\n\r\n").await;
    client.hear("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_server_that_dies_before_its_answer_is_replaced() {
    let (first, second) = (Back::new().await, Back::new().await);
    let mut program = relay(&[first.address, second.address], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 4\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let mut server = first.accept().await;
    server.head().await;
    server.hear("\r\n0\r\n\r\n").await;
    drop(server);
    let mut server = second.accept().await;
    server.head().await;
    assert_eq!(server.hear("\r\n0\r\n\r\n").await, format!("{HTTP}4\r\nabcd\r\n0\r\n\r\n"));
    server.say("ICAP/1.0 204 OK\r\nISTag: \"t\"\r\n\r\n").await;
    assert!(client.head().await.starts_with("ICAP/1.0 204 "));
    let line = program.says("transaction complete").await;
    assert_eq!(line["upstream"], format!("icap://{}", second.address));
}

#[tokio::test]
async fn a_204_that_comes_too_late_is_no_answer() {
    let (first, second) = (Back::new().await, Back::new().await);
    let program = relay(&[first.address, second.address], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 4\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let mut server = first.accept().await;
    server.head().await;
    server.hear("\r\n0\r\n\r\n").await;
    server.say("ICAP/1.0 100 Continue\r\n\r\n").await;
    client.head().await;
    drop(server);
    let mut server = second.accept().await;
    server.head().await;
    server.hear("\r\n0\r\n\r\n").await;
    server.say("ICAP/1.0 204 OK\r\nISTag: \"t\"\r\n\r\n").await;
    // The client waits for no decision at its preview any more, and did not allow a 204 elsewhere.
    assert!(client.head().await.starts_with("ICAP/1.0 502 "));
}

#[tokio::test]
async fn an_answer_that_is_cut_is_cut() {
    let back = Back::new().await;
    let mut program = relay(&[back.address], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("", "9\r\nabcdefghi\r\n0\r\n\r\n")).await;
    let mut server = back.accept().await;
    server.head().await;
    server.hear("\r\n0\r\n\r\n").await;
    server.say(answer("200 OK", "", "3\r\nbad\r\n")).await;
    client.head().await;
    drop(server);
    let (bytes, _) = rest(&mut client.stream).await;
    assert_eq!(String::from_utf8_lossy(&bytes), format!("{PAGE}3\r\nbad\r\n"));
    program.says("transaction cut").await;
}

#[tokio::test]
async fn a_server_that_hangs_is_a_504_and_none_at_all_a_502() {
    let back = Back::new().await;
    let mut program = relay(&[back.address], "idle-timeout = 1").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 4\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let mut server = back.accept().await;
    server.head().await;
    assert!(client.head().await.starts_with("ICAP/1.0 504 "));
    let line = program.says("no answer of a server").await;
    assert_eq!(line["status"], 504);

    let mut program = relay(&[nobody().await], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("", "1\r\na\r\n0\r\n\r\n")).await;
    assert!(client.head().await.starts_with("ICAP/1.0 502 "));
    program.says("no answer of a server: cannot connect").await;
}

#[tokio::test]
async fn a_busy_server_is_passed_over_and_the_last_word_counts() {
    let busy = || {
        serve(|stream| async move {
            let mut talk = Talk { stream };
            talk.head().await;
            let body = "7\r\nbusy...\r\n0\r\n\r\n";
            talk.say(answer("503 Overloaded", "X-Why: Full\r\nConnection: close\r\n", body)).await;
            let _ = rest(&mut talk.stream).await;
        })
    };
    let good = serve(|stream| async move {
        let mut talk = Talk { stream };
        talk.head().await;
        talk.say("ICAP/1.0 204 OK\r\nISTag: \"t\"\r\n\r\n").await;
        let _ = rest(&mut talk.stream).await;
    })
    .await;
    let program = relay(&[busy().await, good], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 4\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    assert!(client.head().await.starts_with("ICAP/1.0 204 "));

    let program = relay(&[busy().await, busy().await], "").await;
    let mut client = front(&program).await;
    client.say(reqmod("Preview: 4\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let head = client.head().await;
    assert!(head.starts_with("ICAP/1.0 503 Overloaded\r\n"), "{head}");
    assert!(head.contains("\r\nX-Why: Full\r\n"), "{head}");
}

#[tokio::test]
async fn options_are_the_servers_with_fewer_connections() {
    let server = serve(|stream| async move {
        let mut talk = Talk { stream };
        while talk.hear("\r\n").await.starts_with("OPTIONS") {
            talk.head().await;
            talk.say(
                "ICAP/1.0 200 OK\r\nMethods: RESPMOD, REQMOD\r\nISTag: \"t\"\r\nX-Odd: 1\r\nAllow: 204\r\n\
                 Max-Connections: 100\r\nOptions-TTL: 60\r\nPreview: 30\r\nEncapsulated: null-body=0\r\n\r\n",
            )
            .await;
        }
    })
    .await;
    for (more, most) in [
        ("", 100),
        ("max-per-source = 40", 40),
        (&format!("upstream = [{{ uri = 'icap://{server}', max-connections = 16 }}]"), 16),
    ] {
        let mut config = icap(&[server], more);
        if more.starts_with("upstream") {
            config = config.replacen(&format!("upstream = ['icap://{server}']\n"), "", 1);
        }
        let program = Program::start(directory(), &config).await;
        let mut client = front(&program).await;
        client.say("OPTIONS icap://relay/scan ICAP/1.0\r\nHost: relay\r\n\r\n").await;
        let head = client.head().await;
        for line in ["Methods: RESPMOD, REQMOD", "X-Odd: 1", "Allow: 204", "Preview: 30"] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
        assert!(head.contains(&format!("\r\nMax-Connections: {most}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn paths_are_the_clients_unless_the_server_has_one() {
    let server = || {
        serve(|stream| async move {
            let mut talk = Talk { stream };
            loop {
                let head = talk.head().await;
                talk.head().await;
                let uri = head.split(' ').nth(1).unwrap().to_owned();
                let (_, path) = uri.rsplit_once('/').unwrap();
                talk.say(format!("ICAP/1.0 404 No\r\nISTag: \"t\"\r\nX-Path: {path}\r\n\r\n"))
                    .await;
            }
        })
    };
    let (one, two) = (server().await, server().await);
    let more = format!("respmod-upstream = ['icap://{two}/own?q=1']");
    let program = relay(&[one], &more).await;
    let bodiless = |method: &str| {
        let kind = if method == "REQMOD" { "req" } else { "res" };
        let http = if method == "REQMOD" { HTTP } else { PAGE };
        format!(
            "{method} icap://relay/there ICAP/1.0\r\nHost: relay\r\nEncapsulated: {kind}-hdr=0, null-body={}\r\n\r\n{http}",
            http.len()
        )
    };
    let mut client = front(&program).await;
    // A path that is not there is nobody's failure, however often it is asked for.
    for _ in 0..5 {
        client.say(bodiless("REQMOD")).await;
        let head = client.head().await;
        assert!(
            head.starts_with("ICAP/1.0 404 No\r\n") && head.contains("X-Path: there\r\n"),
            "{head}"
        );
    }
    client.say(bodiless("RESPMOD")).await;
    let head = client.head().await;
    assert!(head.contains("X-Path: own?q=1\r\n"), "{head}");
}

#[tokio::test]
async fn the_clients_address_is_added_by_choice() {
    let back = Back::new().await;
    for (more, sent, wanted) in [
        ("client-ip = 'add'", "", Some("X-Client-IP: 127.0.0.1")),
        ("client-ip = 'add'", "X-Client-IP: 10.9.8.7\r\n", Some("X-Client-IP: 10.9.8.7")),
        ("", "X-Client-IP: 10.9.8.7\r\n", Some("X-Client-IP: 10.9.8.7")),
        ("", "", None),
    ] {
        let program = relay(&[back.address], more).await;
        let mut client = front(&program).await;
        client.say(reqmod(sent, "0\r\n\r\n")).await;
        let head = back.accept().await.head().await;
        let found: Vec<_> =
            head.split("\r\n").filter(|line| line.starts_with("X-Client-IP")).collect();
        assert_eq!(found, wanted.into_iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_stop_waits_for_the_transaction_and_closes_what_is_idle() {
    let back = Back::new().await;
    let config = icap(&[back.address], "identity = 'relay.pem'").replace("plain-listen", "listen");
    let mut program = Program::start(directory(), &config).await;
    let mut idle = connect(program.address, None).await.unwrap();
    let mut client = Talk { stream: connect(program.address, None).await.unwrap() };
    client.say(reqmod("Preview: 4\r\n", "4\r\nabcd\r\n0\r\n\r\n")).await;
    let mut server = back.accept().await;
    server.head().await;
    program.signal("-TERM");
    program.says("stopping").await;
    rest(&mut idle).await.1.unwrap();
    server.say("ICAP/1.0 204 OK\r\nISTag: \"t\"\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("ICAP/1.0 204 ") && head.contains("Connection: close"), "{head}");
    program.says("stopped").await;
    assert_eq!(program.ends().await, Some(0));
}

/// Those of all connections, and of a configuration that is in force no more.
#[tokio::test]
async fn a_stop_closes_what_is_idle_from_before_a_reload() {
    let one = icap(&[nobody().await], "name = 'one'\nidentity = 'relay.pem'");
    let one = one.replace("plain-listen", "listen");
    let two = one.replace("log = 'json'\n", "").replace("'one'", "'two'");
    let mut program = Program::start(directory(), &format!("{one}{two}")).await;
    let addresses = [program.address, program.listens().await];
    let mut idle = Vec::new();
    for address in addresses {
        idle.push(connect(address, None).await.unwrap());
    }
    program.signal("-HUP");
    program.says("reloaded").await;
    for address in addresses {
        idle.push(connect(address, None).await.unwrap());
    }
    program.signal("-TERM");
    for idle in &mut idle {
        rest(idle).await.1.unwrap();
    }
    program.says("stopped").await;
    assert!(!program.has_said("stopped before all connections had ended"));
    assert_eq!(program.ends().await, Some(0));
}
