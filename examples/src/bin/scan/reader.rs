//! Files that are read before their turn comes.
//!
//! A small file is read faster than one thread can ask another to read it. So the thread that finds the files reads the
//! small ones too, and hands over many at a time. A larger file is opened and read while it is being sent.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::vec;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::files::{Found, Item};

/// A file of more bytes is not read before its turn.
const SMALL: usize = 64 * 1024;
/// Bytes of files in a batch at most.
const BATCH_BYTES: usize = 256 * 1024;
/// Files in a batch at most.
const BATCH_FILES: usize = 64;
/// Batches that wait. Beside them there is one that is being filled and one that is being emptied. With what is left over
/// in buffers that bounds what is held of all files that wait: 3 MiB.
const BATCHES: usize = 4;

/// One thing to be scanned, as far as it was read.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// A small file, whole.
    Small {
        path: PathBuf,
        data: Bytes,
    },
    /// A file that is read when its turn comes, of so many bytes now.
    Large {
        path: PathBuf,
        bytes: u64,
    },
    Stdin,
    Unreadable {
        path: PathBuf,
        why: String,
    },
}

impl Loaded {
    /// How long it is, where that is known.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Small { data, .. } => u64::try_from(data.len()).unwrap_or(u64::MAX),
            Self::Large { bytes, .. } => *bytes,
            Self::Stdin | Self::Unreadable { .. } => 0,
        }
    }
}

/// What was found and read, in its order.
#[derive(Debug)]
pub(crate) struct Ahead {
    batches: mpsc::Receiver<Vec<Loaded>>,
    batch: vec::IntoIter<Loaded>,
}

impl Ahead {
    /// Begins to find and to read, on a thread of its own, and not much faster than files are scanned.
    pub(crate) fn start(found: Found) -> Self {
        let (full, batches) = mpsc::channel(BATCHES);
        tokio::task::spawn_blocking(move || read_all(found, &full));
        Self { batches, batch: Vec::new().into_iter() }
    }

    /// The next one; nothing when there is no more.
    pub(crate) async fn next(&mut self) -> Option<Loaded> {
        loop {
            if let Some(loaded) = self.batch.next() {
                return Some(loaded);
            }
            self.batch = self.batches.recv().await?.into_iter();
        }
    }
}

/// Reads until the end, or until nobody wants it.
fn read_all(found: impl Iterator<Item = Item>, full: &mpsc::Sender<Vec<Loaded>>) {
    let (mut batch, mut room) = (Batch::default(), BytesMut::new());
    for item in found {
        batch.push(load(item, &mut room));
        // Whoever has nothing to do does not wait for a batch to be full.
        let is_wanted = full.capacity() == full.max_capacity();
        if (is_wanted || batch.is_full()) && full.blocking_send(batch.take()).is_err() {
            return;
        }
    }
    // Where nobody is left to take it, nobody misses it.
    let _ = full.blocking_send(batch.take());
}

#[derive(Debug, Default)]
struct Batch {
    loaded: Vec<Loaded>,
    /// Bytes that were read.
    bytes: usize,
}

impl Batch {
    fn push(&mut self, loaded: Loaded) {
        if let Loaded::Small { data, .. } = &loaded {
            self.bytes = self.bytes.saturating_add(data.len());
        }
        self.loaded.push(loaded);
    }

    /// Whether there may be no room for one more.
    fn is_full(&self) -> bool {
        self.loaded.len() >= BATCH_FILES || self.bytes.saturating_add(SMALL) > BATCH_BYTES
    }

    fn take(&mut self) -> Vec<Loaded> {
        std::mem::take(self).loaded
    }
}

fn load(item: Item, room: &mut BytesMut) -> Loaded {
    match item {
        Item::File(path) => match read(&path, room) {
            Ok((Some(data), _)) => Loaded::Small { path, data },
            Ok((None, bytes)) => Loaded::Large { path, bytes },
            Err(error) => Loaded::Unreadable { path, why: error.to_string() },
        },
        Item::Stdin => Loaded::Stdin,
        Item::Unreadable { path, why } => Loaded::Unreadable { path, why },
    }
}

/// A small file's bytes, and the length of any. As of any file that is sent, the length is fixed when it is opened: one
/// that grows is as long as it was, one that shrinks is an error.
fn read(path: &Path, room: &mut BytesMut) -> io::Result<(Option<Bytes>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let small = usize::try_from(length).ok().filter(|length| *length <= SMALL);
    let data = small.map(|length| read_whole(&mut file, length, room)).transpose()?;
    Ok((data, length))
}

/// So many bytes, no more and no fewer. Several files share the allocation that is made when there is no room.
fn read_whole(mut file: impl Read, length: usize, room: &mut BytesMut) -> io::Result<Bytes> {
    if room.capacity() < length {
        *room = BytesMut::with_capacity(SMALL);
    }
    room.resize(length, 0);
    // Whatever was read goes out of the room, so that nothing of one file is ever in the next one.
    let mut data = room.split();
    match file.read_exact(&mut data) {
        Ok(()) => Ok(data.freeze()),
        // The same words as of a large file.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(error.kind().into()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    fn unreadable() -> Loaded {
        Loaded::Unreadable { path: PathBuf::new(), why: String::new() }
    }

    fn small(length: usize) -> Loaded {
        Loaded::Small { path: PathBuf::new(), data: vec![0; length].into() }
    }

    fn loaded(path: &Path) -> Loaded {
        load(Item::File(path.to_owned()), &mut BytesMut::new())
    }

    #[test]
    fn a_file_is_small_up_to_its_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for length in [0, 1, SMALL] {
            std::fs::write(&path, vec![7; length]).expect("room on the disk");
            let Loaded::Small { data, .. } = loaded(&path) else { panic!("{length} is small") };
            assert_eq!(data, vec![7; length]);
        }
        std::fs::write(&path, vec![7; SMALL + 1]).expect("room on the disk");
        let Loaded::Large { bytes, .. } = loaded(&path) else { panic!("it is large") };
        assert_eq!(bytes, 65_537);
    }

    #[test]
    fn what_is_gone_when_it_is_read_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path().join("gone"), folder.path().to_owned()] {
            let Loaded::Unreadable { path: told, why } = loaded(&path) else { panic!("{path:?}") };
            assert_eq!(told, path);
            assert_eq!(why, std::fs::read(&path).expect_err("no file").to_string());
        }
    }

    #[test]
    fn a_file_is_as_long_as_it_was_or_an_error() {
        let mut room = BytesMut::new();
        let grown = read_whole(&b"abcd"[..], 3, &mut room).expect("three bytes");
        let shrunk = read_whole(&b"ab"[..], 3, &mut room).expect_err("a byte is missing");
        assert_eq!(shrunk.to_string(), "unexpected end of file");
        // What there was of it is in no other file.
        let next = read_whole(&b"efg"[..], 3, &mut room).expect("three bytes");
        assert_eq!((&*grown, &*next), (&b"abc"[..], &b"efg"[..]));
    }

    #[test]
    fn a_batch_has_bounds() {
        let mut batch = Batch::default();
        (1..BATCH_FILES).for_each(|_| batch.push(unreadable()));
        assert!(!batch.is_full());
        batch.push(unreadable());
        assert!(batch.is_full());
        assert_eq!(batch.take().len(), BATCH_FILES);

        batch.push(small(BATCH_BYTES - SMALL));
        assert!(!batch.is_full(), "one more of the largest fits");
        batch.push(small(1));
        assert!(batch.is_full());
        batch.take();
        assert!(!batch.is_full());
    }

    /// Without end, so that only the bounds can stop it.
    #[test]
    fn no_more_is_read_than_has_room() {
        let (full, batches) = mpsc::channel(BATCHES);
        let found = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&found);
        let endless = std::iter::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Item::Stdin
        });
        let reader = std::thread::spawn({
            let full = full.clone();
            move || read_all(endless, &full)
        });
        let begun = Instant::now();
        while full.capacity() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "the queue fills");
            std::thread::yield_now();
        }
        drop(batches);
        reader.join().expect("it ends when nobody wants more");
        assert!(found.load(Ordering::Relaxed) <= (BATCHES + 1) * BATCH_FILES);
    }

    #[tokio::test]
    async fn what_is_there_is_not_held_back() {
        let (full, mut batches) = mpsc::channel(BATCHES);
        let (go_on, wait) = std::sync::mpsc::channel();
        let slow = std::iter::once(Item::Stdin).chain(std::iter::from_fn(move || wait.recv().ok()));
        let reader = tokio::task::spawn_blocking(move || read_all(slow, &full));
        let first = tokio::time::timeout(Duration::from_secs(60), batches.recv()).await;
        assert_eq!(first.ok().flatten().map(|batch| batch.len()), Some(1));
        drop(go_on);
        reader.await.expect("it ends with what was found");
    }
}
