//! The server `bench-server`, and what can be seen of it from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::peer::{Peer, answers, request};

/// What a case may leave behind, in KiB: what the allocator keeps for the next one.
const KEPT: u64 = 16 * 1024;
/// How long the server may take to be done with peers that are gone.
const SETTLE: Duration = Duration::from_secs(8);

pub(crate) struct Server {
    process: Child,
    pub(crate) addr: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    before: State,
}

/// What has to come back to where it was.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    descriptors: usize,
    /// Resident, in KiB.
    memory: u64,
}

impl Server {
    /// A server that waits `patience` seconds at most, and writes a log.
    pub(crate) fn start(patience: u64, arguments: &[&str]) -> Self {
        let patience = patience.to_string();
        let mut server = Self::spawn(&[&["--log", "--patience", &patience], arguments].concat());
        let descriptors = server.descriptors();
        // What the first transactions allocate for good is nobody's fault.
        for _ in 0..10 {
            server.answers_well();
        }
        server.before = server.settled(descriptors);
        server
    }

    /// A server without a log.
    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bench-server"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().rsplit_once("icap://").unwrap().1.parse().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), BufReader::new(process.stderr.take().unwrap()));
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { process, addr, log, before: State::default() }
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.addr)
    }

    pub(crate) fn connect_narrow(&self) -> Peer {
        Peer::connect_narrow(self.addr)
    }

    /// Checks that all is as it was before the case, and gives back what the log says of transactions.
    pub(crate) fn settle(&mut self) -> Transactions {
        let before = self.before;
        let after = self.settled(before.descriptors);
        assert_eq!(self.process.try_wait().unwrap(), None, "the server has ended");
        assert_eq!(after.descriptors, before.descriptors, "descriptors");
        assert!(after.memory < before.memory + KEPT, "{before:?}, now {after:?}");
        // The log is one stream: where the last line is, all others are.
        let last = self.answers_well();
        let deadline = Instant::now() + SETTLE;
        let transactions = loop {
            let transactions = Transactions::read(&self.log.lock().unwrap());
            if transactions.of(last).any(|_| true) {
                break transactions;
            }
            assert!(Instant::now() < deadline, "the log does not say what was done");
            sleep(Duration::from_millis(5));
        };
        let log = self.log.lock().unwrap();
        let bad = |line: &&String| line.contains("panic") || line.contains(r#""level":"ERROR""#);
        assert_eq!(log.iter().find(bad), None);
        let (descriptors, most) = (after.descriptors, self.memory("VmHWM"));
        println!(
            "{descriptors} descriptors; {} KiB, then {most}, now {}",
            before.memory, after.memory
        );
        transactions
    }

    /// The state once there are no more descriptors than these, or when the time is over.
    fn settled(&self, descriptors: usize) -> State {
        let deadline = Instant::now() + SETTLE;
        while self.descriptors() > descriptors && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
        }
        State { descriptors: self.descriptors(), memory: self.memory("VmRSS") }
    }

    /// A good request gets a good answer; the address that asked.
    pub(crate) fn answers_well(&self) -> SocketAddr {
        let mut peer = self.connect();
        let body = vec![b'g'; 10_000];
        peer.say(&request("Connection: close\r\n", &body)).unwrap();
        let answers = answers(&peer.read_to_end());
        assert_eq!((answers.len(), answers[0].status), (1, 200));
        assert!(answers[0].body.as_deref() == Some(&body[..]));
        peer.addr()
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// A figure of the process, in KiB.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of the access log.
pub(crate) struct Transactions(Vec<Value>);

impl Transactions {
    fn read(lines: &[String]) -> Self {
        let access = lines.iter().filter(|line| line.contains("icap_server::access"));
        Self(access.map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// Those of this peer.
    fn of(&self, peer: SocketAddr) -> impl Iterator<Item = &Value> {
        let client = peer.to_string();
        self.0.iter().filter(move |line| line["client"] == client)
    }

    /// How many of this peer are said to have been answered, whole.
    pub(crate) fn whole(&self, peer: SocketAddr) -> usize {
        let is_whole = |line: &&Value| {
            line["aborted"] == false && matches!(line["status"].as_u64(), Some(200..=299))
        };
        self.of(peer).filter(is_whole).count()
    }
}
