//! What a large body costs `icap-client` in memory: streams it through RESPMOD and reads all that comes back.
//!
//! ```text
//! bench-stream icap://127.0.0.1:1344/echo 1024
//! ```
//!
//! Prints how far the resident memory of this process has grown, in KiB, from after a first body of 1 MiB to its peak.
//! Linux only: that is where `/proc/self/status` is.

use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::Parser;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use icap_client::{BoxError, Client, Outcome, Respmod};
use icap_proto::HttpHead;

const MIB: u64 = 1024 * 1024;
const PIECE: u64 = 16 * 1024;
const PIECE_BYTE: u8 = 0x5a;

#[derive(Debug, Parser)]
#[command(version, about = "Streams one large body through an ICAP service that gives it back")]
struct Arguments {
    /// The service: icap://HOST:PORT/PATH, the port being 1344 unless given
    uri: String,

    /// Size of the body in MiB
    mib: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { uri, mib } = Arguments::parse();
    let client = Client::builder(uri.as_str()).build()?;
    stream(&client, MIB).await?;
    let start = memory("VmRSS:")?;
    stream(&client, mib.checked_mul(MIB).context("too large")?).await?;
    let peak = memory("VmHWM:")?;
    println!("{}", peak.saturating_sub(start));
    Ok(())
}

async fn stream(client: &Client, length: u64) -> anyhow::Result<()> {
    let response = HttpHead::response(200, "OK", [("Content-Length", length.to_string())])?;
    let message = Respmod::new(response, Pieces::new(length));
    let outcome = client.respmod(message).await.map_err(|failure| failure.into_parts().0)?;
    let Outcome::Modified(mut adapted) = outcome else { bail!("the body does not come back") };
    let mut read = 0u64;
    while let Some(frame) = adapted.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        ensure!(data.iter().all(|byte| *byte == PIECE_BYTE), "another body than was sent");
        read = read.saturating_add(data.len() as u64);
    }
    ensure!(read == length, "{read} of {length} bytes came back");
    Ok(())
}

/// A body that is made while it is read: each piece is memory of its own, as data off a network is.
struct Pieces {
    left: u64,
}

impl Pieces {
    const fn new(length: u64) -> Self {
        Self { left: length }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = self.left.min(PIECE);
        self.left = self.left.saturating_sub(length);
        let piece = vec![PIECE_BYTE; usize::try_from(length)?];
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A field of this process, in KiB.
fn memory(field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.with_context(|| field.to_owned())?.parse()?)
}
