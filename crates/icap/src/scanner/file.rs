//! Files as bodies.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// What is read at once.
const READ: u64 = 64 * 1024;

/// Opens a file to be scanned, and tells what it is like. Nobody is waited for: neither a pipe that took its place nor
/// the one who would write into it.
///
/// # Errors
///
/// There is no such file, it may not be read, or it is none: the length of a folder, a pipe or a device says nothing,
/// and it would pass as empty.
///
/// ```
/// use icap::scanner::open_file;
///
/// assert!(open_file("Cargo.toml")?.1.len() > 0);
/// assert!(open_file(".").is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn open_file(path: impl AsRef<Path>) -> io::Result<(File, Metadata)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no file"));
    }
    Ok((file, metadata))
}

/// A file, read in pieces. Its length is fixed when it is opened: a file that grows is sent as long as it was,
/// one that shrinks is an error.
///
/// Files are read on threads of their own, and a way there and back costs more than a small file does: opening it
/// reads its first piece, and the next one is read while a piece is being sent.
#[derive(Debug)]
pub(super) struct FileBody {
    next: Next,
    /// Bytes that have not been given out.
    left: u64,
}

#[derive(Debug)]
enum Next {
    Ready(Piece),
    Reading(JoinHandle<io::Result<Piece>>),
    Over,
}

/// What was read, and the file when more of it is to be read.
#[derive(Debug)]
struct Piece {
    data: Bytes,
    rest: Option<(File, u64)>,
}

impl FileBody {
    pub(super) async fn open(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let open = move || {
            let (file, metadata) = open_file(path)?;
            let length = metadata.len();
            io::Result::Ok((read(file, length)?, length))
        };
        let (first, left) = spawn_blocking(open).await.map_err(io::Error::other)??;
        Ok(Self { next: Next::Ready(first), left })
    }
}

/// Reads the next piece of a file of which so many bytes are left.
fn read(mut file: File, left: u64) -> io::Result<Piece> {
    let wanted = left.min(READ);
    let mut data = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
    let read = file.by_ref().take(wanted).read_to_end(&mut data)?;
    let left = left.saturating_sub(read as u64);
    if read == 0 && left > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Piece { data: data.into(), rest: (left > 0).then_some((file, left)) })
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match &mut self.next {
            Next::Reading(reading) => {
                let read = ready!(Pin::new(reading).poll(cx));
                self.next = Next::Over;
                read.map_err(io::Error::other).and_then(|piece| piece)
            }
            Next::Ready(_) => match std::mem::replace(&mut self.next, Next::Over) {
                Next::Ready(piece) => Ok(piece),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            },
            // It failed, and what came before is not the file.
            Next::Over => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let Piece { data, rest } = match piece {
            Ok(piece) => piece,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        if let Some((file, left)) = rest {
            self.next = Next::Reading(spawn_blocking(move || read(file, left)));
        }
        self.left = self.left.saturating_sub(data.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
