//! Servers in memory whose behaviour can be changed while they run.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use icap_client::{Client, ClientBuilder, Reqmod};
use icap_proto::{HttpHead, ServiceUri};
use tokio::io::{DuplexStream, duplex};
use tokio::time::sleep;

use crate::peer::{Connection, HELLO, NO_CONTENT, by_hand, ok, text};

/// What a node does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// 204.
    Pass,
    /// 204 after this time.
    Work(Duration),
    /// 200 with the path of the request as its body.
    Echo,
    /// 200 whose body does not end.
    Open,
    /// 200 whose body is cut.
    Cut,
    /// An answer with this status and nothing else.
    Status(u16),
    /// 204 to so many at once, each after a second, 503 to others.
    Room(usize),
    /// Takes no connection, and ends those that there are.
    Dead,
    /// Ends the connection behind the request.
    Lose,
    /// Never answers.
    Hang,
    /// Answers, but not by ICAP.
    Babble,
}

#[derive(Clone)]
pub(crate) struct Node {
    name: &'static str,
    mode: Arc<Mutex<Mode>>,
    /// The requests: `OPTIONS`, or the path.
    seen: Arc<Mutex<Vec<String>>>,
    /// Requests that are being worked on.
    working: Arc<AtomicUsize>,
}

impl Node {
    pub(crate) fn new(name: &'static str, mode: Mode) -> Self {
        let (mode, seen) = (Arc::new(Mutex::new(mode)), Arc::default());
        Self { name, mode, seen, working: Arc::default() }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// The requests since this was asked last.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    pub(crate) fn uri(&self) -> String {
        format!("icap://{}/s", self.name)
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        let node = self.clone();
        by_hand(&self.uri()).connector(move |_: ServiceUri| {
            let dead = node.mode() == Mode::Dead;
            let (near, far) = duplex(10_000);
            if !dead {
                tokio::spawn(node.clone().serve(far));
            }
            async move { if dead { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(near) } }
        })
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    async fn serve(self, io: DuplexStream) {
        let mut peer = Connection::new(io);
        while let Some((icap, http)) = peer.next_head().await {
            if icap.contains("-body=") && !icap.contains("null-body") {
                peer.until("0; ieof\r\n\r\n").await;
            }
            let path = http.split(' ').nth(1).unwrap_or("OPTIONS").to_owned();
            self.seen.lock().unwrap().push(path.clone());
            let working = self.working.fetch_add(1, Ordering::Relaxed) + 1;
            let answer = match self.mode() {
                Mode::Dead | Mode::Lose => return,
                Mode::Hang => return std::future::pending().await,
                Mode::Babble => "HTTP/1.1 200 OK\r\n\r\n".into(),
                Mode::Status(status) => format!("ICAP/1.0 {status} No\r\n\r\n"),
                _ if path == "OPTIONS" => "ICAP/1.0 200 OK\r\nMethods: REQMOD\r\n\r\n".into(),
                Mode::Echo => ok(&path),
                Mode::Open | Mode::Cut => HELLO[..HELLO.len() - 7].into(),
                Mode::Work(time) => {
                    sleep(time).await;
                    NO_CONTENT.into()
                }
                Mode::Room(room) if working > room => "ICAP/1.0 503 Too Many\r\n\r\n".into(),
                Mode::Room(_) => {
                    sleep(Duration::from_secs(1)).await;
                    NO_CONTENT.into()
                }
                Mode::Pass => NO_CONTENT.into(),
            };
            self.working.fetch_sub(1, Ordering::Relaxed);
            if peer.try_write(answer).await.is_err() || self.mode() == Mode::Cut {
                return;
            }
        }
    }
}

/// `GET` of this path without a body.
pub(crate) fn get(path: &str) -> Reqmod<Full<bytes::Bytes>> {
    Reqmod::new(HttpHead::request("GET", path, [("Host", "h")]).unwrap(), text(""))
}
