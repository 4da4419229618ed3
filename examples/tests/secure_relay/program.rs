//! The program under test, its log, and servers to put behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::pki::Pair;

/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A relay that runs, in a directory of its own.
pub(crate) struct Program {
    child: Child,
    log: mpsc::UnboundedReceiver<String>,
    /// All lines so far.
    pub(crate) said: Vec<Value>,
    pub(crate) directory: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
}

/// A directory with `relay.pem` in it.
pub(crate) fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    Pair::self_signed("relay.test").write(directory.path(), "relay.pem");
    directory
}

/// A connection with TLS to `upstream`, and `more` lines.
pub(crate) fn tunnel(upstream: &[SocketAddr], more: &str) -> String {
    let upstream: Vec<_> = upstream.iter().map(|address| format!("'icap://{address}'")).collect();
    format!(
        "log = 'json'\n[[connection]]\nmode = 'tunnel'\nlisten = ['127.0.0.1:0']\nidentity = 'relay.pem'\n\
         health-interval = 0\nupstream = [{}]\n{more}\n",
        upstream.join(", ")
    )
}

/// A connection in mode `icap`, without TLS in front, to these servers, and `more` lines.
pub(crate) fn icap(upstream: &[SocketAddr], more: &str) -> String {
    let upstream: Vec<_> = upstream.iter().map(|address| format!("'icap://{address}'")).collect();
    format!(
        "log = 'json'\n[[connection]]\nplain-listen = ['127.0.0.1:0']\nhealth-interval = 0\n\
         upstream = [{}]\n{more}\n",
        upstream.join(", ")
    )
}

pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secure-relay"));
    command.kill_on_drop(true).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

impl Program {
    /// Starts it with this configuration in `directory` and waits until it listens.
    pub(crate) async fn start(directory: TempDir, config: &str) -> Self {
        let file = directory.path().join("relay.toml");
        std::fs::write(&file, config).unwrap();
        let mut child = binary().arg("--config").arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        let log = read(BufReader::new(child.stderr.take().unwrap()).lines());
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut program = Self { child, log, said: Vec::new(), directory, address, admin: None };
        if config.contains("admin =") {
            let line = program.says("health and metrics").await;
            program.admin = Some(line["listen"].as_str().unwrap().parse().unwrap());
        }
        program.address = program.listens().await;
        program
    }

    /// The address of the next listener.
    pub(crate) async fn listens(&mut self) -> SocketAddr {
        let line = self.says("listening").await;
        line["listen"].as_str().unwrap().parse().unwrap()
    }

    /// Waits for a line with this text in its message.
    pub(crate) async fn says(&mut self, text: &str) -> Value {
        let waiting = async {
            loop {
                let line = self.log.recv().await;
                let line =
                    line.unwrap_or_else(|| panic!("ended without {text:?}: {:?}", self.said));
                let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
                self.said.push(line.clone());
                if line["message"].as_str().unwrap_or_default().contains(text) {
                    return line;
                }
            }
        };
        match timeout(LONG, waiting).await {
            Ok(line) => line,
            Err(_) => panic!("never said {text:?}: {:?}", self.said),
        }
    }

    /// Whether there was such a line before now.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.said.iter().any(|line| line["message"].as_str().unwrap_or_default().contains(text))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn rewrite(&self, config: &str) {
        std::fs::write(self.path("relay.toml"), config).unwrap();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let status = std::process::Command::new("kill").args([signal, &id]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Its exit code.
    pub(crate) async fn ends(&mut self) -> Option<i32> {
        timeout(LONG, self.child.wait()).await.expect("did not end").unwrap().code()
    }

    /// The body of an answer of the admin address, with its status.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin.unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

/// The lines as they come: a program whose log nobody reads stands still.
fn read(mut log: Lines<BufReader<ChildStderr>>) -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(line)) = log.next_line().await {
            let _ = sender.send(line);
        }
    });
    lines
}

/// Runs the program to its end: exit code, stdout, stderr.
pub(crate) async fn run(arguments: &[&str], directory: &Path) -> (i32, String, String) {
    let running = binary().args(arguments).current_dir(directory).output();
    let output = timeout(LONG, running).await.expect("did not end").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A server that gives everything back, and ends when its client has ended.
pub(crate) async fn echo() -> SocketAddr {
    serve(|mut stream| async move {
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    })
    .await
}

/// A server that plays `script` with each connection.
pub(crate) async fn serve<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    address
}

/// An address that nobody listens on.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Whether bytes go to an echoing server and come back.
pub(crate) async fn echoes<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> bool {
    let turn = async {
        stream.write_all(b"OPTIONS icap://a/ ICAP/1.0\r\n\r\n").await?;
        stream.flush().await?;
        let mut back = [0; 30];
        stream.read_exact(&mut back).await?;
        Ok::<_, std::io::Error>(back == *b"OPTIONS icap://a/ ICAP/1.0\r\n\r\n")
    };
    timeout(LONG, turn).await.expect("no echo").unwrap_or(false)
}

/// Everything until the end, and how it ended.
pub(crate) async fn rest<S: AsyncRead + Unpin>(stream: &mut S) -> (Vec<u8>, std::io::Result<()>) {
    let mut bytes = Vec::new();
    let end = timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("no end");
    (bytes, end.map(drop))
}
