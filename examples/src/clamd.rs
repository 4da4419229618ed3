//! ClamAV by way of its daemon: the command INSTREAM of clamd, over TCP or a Unix socket.
//!
//! The body goes to clamd as it comes, a length before each piece. Nothing of it is kept here; clamd itself takes as
//! much as its `StreamMaxLength` says, and a longer one is an error, not a clean body.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::engine::{Category, Finding};
use crate::inspector::{Failed, Inspection, Inspector};

/// For connecting, for each piece, and for the verdict.
const LIMIT: Duration = Duration::from_secs(60);
/// The verdict is one short line.
const MAX_LINE: u64 = 4096;
/// Pieces are no longer.
const MAX_PIECE: usize = 64 * 1024;

/// Where clamd listens: `127.0.0.1:3310`, or the path of a Unix socket.
#[derive(Debug, Clone)]
pub struct Clamd {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Tcp(SocketAddr),
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no such sockets"))]
    Unix(PathBuf),
}

/// An address with a port, else a path.
impl FromStr for Clamd {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = text.parse().map_or_else(|_| Place::Unix(text.into()), Place::Tcp);
        Ok(Self { place })
    }
}

impl Inspector for Clamd {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Inspection>, Failed>> {
        async move {
            let mut stream = within(connect(&self.place)).await?;
            within(stream.write_all(b"zINSTREAM\0")).await?;
            Ok(Box::new(Stream { stream }) as Box<dyn Inspection>)
        }
        .boxed()
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

async fn connect(place: &Place) -> std::io::Result<Box<dyn Socket>> {
    match place {
        Place::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        #[cfg(not(unix))]
        Place::Unix(_) => Err(std::io::ErrorKind::Unsupported.into()),
    }
}

/// One body on its way to clamd.
struct Stream {
    stream: Box<dyn Socket>,
}

impl Stream {
    async fn send(&mut self, data: &[u8]) -> Result<(), Failed> {
        for piece in data.chunks(MAX_PIECE) {
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes();
            within(self.stream.write_all(&length)).await?;
            within(self.stream.write_all(piece)).await?;
        }
        Ok(())
    }

    async fn verdict(&mut self) -> Result<Option<Finding>, Failed> {
        let mut line = Vec::new();
        let mut answer = (&mut self.stream).take(MAX_LINE);
        within(answer.read_to_end(&mut line)).await?;
        read_verdict(&line)
    }
}

impl Inspection for Stream {
    fn update<'a>(&'a mut self, data: &'a Bytes) -> BoxFuture<'a, Result<Option<Finding>, Failed>> {
        async move {
            match self.send(data).await {
                Ok(()) => Ok(None),
                // It says why it takes no more, such as that the body is too long.
                Err(failed) => match self.verdict().await {
                    Err(Failed::Clamd(said)) => Err(Failed::Clamd(said)),
                    _ => Err(failed),
                },
            }
        }
        .boxed()
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<Option<Finding>, Failed>> {
        async move {
            within(self.stream.write_all(&[0; 4])).await?;
            self.verdict().await
        }
        .boxed()
    }
}

/// `stream: OK`, `stream: NAME FOUND`, or words of a failure. Whatever is not the first two is no verdict.
fn read_verdict(line: &[u8]) -> Result<Option<Finding>, Failed> {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_matches(['\0', '\n']);
    let said = line.strip_prefix("stream: ");
    if said == Some("OK") {
        return Ok(None);
    }
    let Some(name) = said.and_then(|said| said.strip_suffix(" FOUND")) else {
        return Err(Failed::Clamd(line.escape_debug().to_string()));
    };
    // The name goes into header fields and into the page.
    let fit = |letter: char| letter.is_ascii_alphanumeric() || "._-/".contains(letter);
    let name: String = name.chars().map(|letter| if fit(letter) { letter } else { '-' }).collect();
    Ok(Some(Finding {
        name: name.into(),
        category: Category::Malware,
        detail: "found by ClamAV".to_owned(),
    }))
}

async fn within<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<T, Failed> {
    match timeout(LIMIT, work).await {
        Ok(done) => done.map_err(Failed::Io),
        Err(_) => Err(Failed::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ok_is_clean() {
        assert!(matches!(read_verdict(b"stream: OK\0"), Ok(None)));
        let found = read_verdict(b"stream: Win.Test;EICAR\r\n_HDB-1 FOUND\0").unwrap().unwrap();
        assert_eq!(found.name, "Win.Test-EICAR--_HDB-1");
        for line in [
            &b""[..],
            b"stream: ",
            b"OK",
            b"stream: OK then",
            b"INSTREAM size limit exceeded. ERROR\0",
            b"stream: x ERROR",
        ] {
            assert!(read_verdict(line).is_err(), "{line:?}");
        }
    }
}
