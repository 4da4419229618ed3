//! Where bodies wait that may have to be sent back and do not fit into memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::task::{JoinHandle, spawn_blocking};

/// What is written or read at once. Less is gathered in memory: each step is a turn of a blocking thread.
const STEP: usize = 64 * 1024;

/// Where a server keeps what its handler has read of a message beyond
/// [`echo_limit`](crate::ServiceConfig::echo_limit), in case that the message has to be sent back: files without
/// a name, which end with their request, however that ends.
///
/// Clones count together.
///
/// ```
/// use icap_server::{ServiceConfig, Spool};
///
/// let spool = Spool::default().dir("/var/spool/scanner").limit(100 << 20).total(10 << 30);
/// let config = ServiceConfig::default().spool(spool);
/// ```
#[derive(Debug, Clone)]
pub struct Spool {
    dir: Option<PathBuf>,
    limit: u64,
    total: u64,
    used: Arc<AtomicU64>,
}

/// The system's directory for temporary files, 256 MiB for a message, 1 GiB for all together.
impl Default for Spool {
    fn default() -> Self {
        Self { dir: None, limit: 256 << 20, total: 1 << 30, used: Arc::default() }
    }
}

impl Spool {
    /// Nothing is kept outside memory.
    #[must_use]
    pub fn none() -> Self {
        Self::default().limit(0)
    }

    /// The directory of the files. Where it is a file system in memory, the limits are limits of memory.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How many bytes of one message are kept.
    #[must_use]
    pub const fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// How many bytes of all messages are kept at a time.
    #[must_use]
    pub const fn total(mut self, bytes: u64) -> Self {
        self.total = bytes;
        self
    }

    pub(crate) fn file(&self) -> SpoolFile {
        SpoolFile {
            spool: self.clone(),
            length: 0,
            written: 0,
            tail: BytesMut::new(),
            disk: Disk::Unopened,
        }
    }

    fn take(&self, bytes: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.total);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

/// What is kept of one message.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    spool: Spool,
    /// All that is kept.
    length: u64,
    /// In the file, or on its way there.
    written: u64,
    /// Behind it.
    tail: BytesMut,
    disk: Disk,
}

/// The file, in whoever's hands it is.
#[derive(Debug)]
enum Disk {
    Unopened,
    Idle(File),
    Busy(JoinHandle<io::Result<(File, Bytes)>>),
    Failed,
}

impl SpoolFile {
    /// Keeps these bytes as well; false when they are too many.
    pub(crate) fn push(&mut self, data: &[u8]) -> bool {
        let more = data.len() as u64;
        let length = self.length.saturating_add(more);
        if length > self.spool.limit || !self.spool.take(more) {
            return false;
        }
        self.length = length;
        self.tail.extend_from_slice(data);
        true
    }

    /// Ready when there is room for more.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_idle(cx))?;
        if self.tail.len() < STEP {
            return Poll::Ready(Ok(()));
        }
        let data = self.tail.split().freeze();
        self.written = self.written.saturating_add(data.len() as u64);
        let dir = self.spool.dir.clone();
        self.start(move |file| {
            let mut file = match (file, dir) {
                (Some(file), _) => file,
                (None, Some(dir)) => tempfile::tempfile_in(dir)?,
                (None, None) => tempfile::tempfile()?,
            };
            file.write_all(&data)?;
            Ok((file, Bytes::new()))
        });
        self.poll_idle(cx).map_ok(|_| ())
    }

    /// Gives back everything from byte `skip` on, of which there may be nothing.
    pub(crate) fn into_reader(self, skip: u64) -> SpoolReader {
        SpoolReader { at: skip, file: self }
    }

    /// Waits for the last step and what it read.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let Disk::Busy(step) = &mut self.disk else { return Poll::Ready(Ok(Bytes::new())) };
        let done = ready!(Pin::new(step).poll(cx));
        self.disk = Disk::Failed;
        let (file, data) = done.map_err(io::Error::other)??;
        self.disk = Disk::Idle(file);
        Poll::Ready(Ok(data))
    }

    /// Lets a thread that may block do one step.
    fn start(
        &mut self,
        step: impl FnOnce(Option<File>) -> io::Result<(File, Bytes)> + Send + 'static,
    ) {
        let file = match std::mem::replace(&mut self.disk, Disk::Failed) {
            Disk::Idle(file) => Some(file),
            _ => None,
        };
        self.disk = Disk::Busy(spawn_blocking(move || step(file)));
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        // Never more than was taken.
        self.spool.used.fetch_sub(self.length, Ordering::Relaxed);
    }
}

/// Reads back what was kept.
#[derive(Debug)]
pub(crate) struct SpoolReader {
    file: SpoolFile,
    at: u64,
}

impl SpoolReader {
    /// How many bytes of all that was kept lie before byte `skip`.
    pub(crate) fn missing(&self) -> u64 {
        self.at.saturating_sub(self.file.length)
    }

    /// The next piece, empty at the end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            let data = ready!(self.file.poll_idle(cx))?;
            if !data.is_empty() {
                self.at = self.at.saturating_add(data.len() as u64);
                return Poll::Ready(Ok(data));
            }
            let (at, left) = (self.at, self.file.written.saturating_sub(self.at));
            if left == 0 {
                break;
            }
            let length = usize::try_from(left).unwrap_or(STEP).min(STEP);
            self.file.start(move |file| {
                let mut file = file.ok_or(io::ErrorKind::NotFound)?;
                let mut data = BytesMut::zeroed(length);
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(&mut data)?;
                Ok((file, data.freeze()))
            });
        }
        let tail = self.file.tail.split().freeze();
        let skip = usize::try_from(self.at.saturating_sub(self.file.written)).unwrap_or(usize::MAX);
        let data = tail.slice(skip.min(tail.len())..);
        self.at = self.at.saturating_add(data.len() as u64);
        Poll::Ready(Ok(data))
    }
}
