//! Files that are read before their turn comes.
//!
//! A small file is read faster than one thread can ask another to read it. So the thread that finds the files reads the
//! small ones too, and hands over many at a time. A larger file is opened and read while it is being sent.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::vec;

use bytes::{Bytes, BytesMut};
use icap::scanner::open_file;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::files::{Found, Item, State};

/// A file of more bytes is not read before its turn.
const SMALL: usize = 64 * 1024;
/// Bytes of files in a batch at most.
const BATCH_BYTES: usize = 256 * 1024;
/// Files in a batch at most. Where there are two cores, the thread that reads takes one from a scan or from the server
/// for as long as it fills one.
const BATCH_FILES: usize = 16;
/// Batches that wait. Beside them there is one that is being filled and one that is being emptied. With what is left
/// over in buffers that bounds what is held of all files that wait: 3 MiB.
const BATCHES: usize = 4;

/// One thing to be scanned, as far as it was read.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// A small file, whole, and what it was like then.
    Small {
        path: PathBuf,
        data: Bytes,
        state: State,
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
    /// The thread that reads, until it is known how it ended.
    reader: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to find and to read, on a thread of its own, and not much faster than files are scanned.
    pub(crate) fn start(found: Found) -> Self {
        let (full, batches) = mpsc::channel(BATCHES);
        let reader = tokio::task::spawn_blocking(move || read_all(found, &full));
        Self { batches, batch: Vec::new().into_iter(), reader: Some(reader) }
    }

    /// The next one; nothing when there is no more. Where the reading ended early, the last one says so: what was not
    /// read is not passed over in silence.
    pub(crate) async fn next(&mut self) -> Option<Loaded> {
        loop {
            if let Some(loaded) = self.batch.next() {
                return Some(loaded);
            }
            match self.batches.recv().await {
                Some(batch) => self.batch = batch.into_iter(),
                None => {
                    let error = self.reader.take()?.await.err()?;
                    let why = format!("the rest was not read: {error}");
                    return Some(Loaded::Unreadable { path: PathBuf::new(), why });
                }
            }
        }
    }
}

/// Reads until the end, or until nobody wants it.
fn read_all(found: impl Iterator<Item = Item>, full: &mpsc::Sender<Vec<Loaded>>) {
    let (mut batch, mut room) = (Batch::default(), BytesMut::new());
    for item in found {
        // To find and to open may each take long, and what is there does not wait for it.
        if !hand_over(&mut batch, full) {
            return;
        }
        batch.push(load(item, &mut room));
        if !hand_over(&mut batch, full) {
            return;
        }
    }
    // Where nobody is left to take it, nobody misses it.
    let _ = full.blocking_send(batch.take());
}

/// Hands over a full batch, or any when it is wanted: whoever has nothing to do does not wait for it to be full. False
/// when nobody wants more.
fn hand_over(batch: &mut Batch, full: &mpsc::Sender<Vec<Loaded>>) -> bool {
    let is_wanted = full.capacity() == full.max_capacity() && !batch.loaded.is_empty();
    !(is_wanted || batch.is_full()) || full.blocking_send(batch.take()).is_ok()
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
            Ok((Some(data), state)) => Loaded::Small { path, data, state },
            Ok((None, state)) => Loaded::Large { path, bytes: state.length },
            Err(error) => Loaded::Unreadable { path, why: error.to_string() },
        },
        Item::Stdin => Loaded::Stdin,
        Item::Unreadable { path, why } => Loaded::Unreadable { path, why },
    }
}

/// A small file's bytes, and what any is like. As of any file that is sent, the length is fixed when it is opened: one
/// that grows is as long as it was, one that shrinks is an error.
fn read(path: &Path, room: &mut BytesMut) -> io::Result<(Option<Bytes>, State)> {
    let (mut file, metadata) = open_file(path)?;
    let state = State::of(&metadata);
    let small = usize::try_from(state.length).ok().filter(|length| *length <= SMALL);
    let data = small.map(|length| read_whole(&mut file, length, room)).transpose()?;
    Ok((data, state))
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
        let state = State { length: 0, modified: None };
        Loaded::Small { path: PathBuf::new(), data: vec![0; length].into(), state }
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
        let gone = folder.path().join("gone");
        let Loaded::Unreadable { path, why } = loaded(&gone) else { panic!("it is gone") };
        assert_eq!(path, gone);
        assert_eq!(why, std::fs::read(&gone).expect_err("no file").to_string());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_any_more_is_told_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        let cases = [
            (folder.path(), "is a directory"),
            (pipe.as_path(), "is no file"),
            (Path::new("/dev/null"), "is no file"),
        ];
        for (path, words) in cases {
            let (told, tells) = std::sync::mpsc::channel();
            let item = path.to_owned();
            std::thread::spawn(move || told.send(loaded(&item)));
            let come = tells.recv_timeout(Duration::from_secs(60)).expect("no wait");
            let Loaded::Unreadable { why, .. } = come else { panic!("{path:?}") };
            assert_eq!(why, words, "{path:?}");
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

    /// Scanners that become idle while the next file is being found do not wait for it to be read as well.
    #[test]
    fn what_is_there_goes_before_the_next_is_opened() {
        let (full, batches) = mpsc::channel::<Vec<Loaded>>(BATCHES);
        let batches = std::cell::RefCell::new(batches);
        let mut lengths = Vec::new();
        let mut count = 0;
        let found = std::iter::from_fn(|| {
            count += 1;
            if count == 3 {
                lengths.push(batches.borrow_mut().try_recv().map(|batch| batch.len()));
            }
            (count <= 3).then_some(Item::Stdin)
        });
        read_all(found, &full);
        while let Ok(batch) = batches.borrow_mut().try_recv() {
            lengths.push(Ok(batch.len()));
        }
        assert_eq!(lengths, [Ok(1), Ok(1), Ok(1)]);
    }

    #[tokio::test]
    async fn a_reader_that_ends_early_is_told() {
        let (full, batches) = mpsc::channel(BATCHES);
        let broken =
            std::iter::once(Item::Stdin).chain(std::iter::from_fn(|| panic!("on purpose")));
        let reader = Some(tokio::task::spawn_blocking(move || read_all(broken, &full)));
        let mut ahead = Ahead { batches, batch: Vec::new().into_iter(), reader };
        assert!(matches!(ahead.next().await, Some(Loaded::Stdin)));
        let Some(Loaded::Unreadable { why, .. }) = ahead.next().await else { panic!("it is told") };
        assert!(why.starts_with("the rest was not read: "), "{why}");
        assert!(ahead.next().await.is_none(), "once");
    }
}
