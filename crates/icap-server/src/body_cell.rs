//! Where the body of a request crosses from the connection to whoever reads it.
//!
//! The reader says what it wants, the connection reads the socket, puts one item in, for some services all that have
//! come by then, and reads no more before it is asked again. Mostly both ends live in the same task and no waker is
//! ever called; the reader may as well be moved to another one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use icap_proto::Headers;

use crate::BodyError;

/// One step of a body.
#[derive(Debug)]
pub(crate) enum Item {
    Data(Bytes),
    PreviewEnd {
        complete: bool,
    },
    /// 100 Continue is on its way.
    Continued,
    End {
        trailers: Headers,
        icap_trailer: Headers,
    },
}

/// What the reader waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Want {
    #[default]
    Nothing,
    Item,
    /// That 100 Continue is sent.
    Continue,
}

/// The two ends of a new cell.
pub(crate) fn cell() -> (Feeder, Reader) {
    let cell = Arc::new(Cell::default());
    (Feeder(Arc::clone(&cell)), Reader(cell))
}

#[derive(Debug, Default)]
struct Cell(Mutex<Slot>);

#[derive(Debug, Default)]
struct Slot {
    want: Want,
    item: Option<Item>,
    /// What follows it.
    more: VecDeque<Item>,
    failed: Option<BodyError>,
    reader_gone: bool,
    /// Waits for an item.
    reader: Option<Waker>,
    /// Waits for a want; only while its task sleeps, so that a reader in the same task does not wake itself.
    feeder: Option<Waker>,
}

impl Cell {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handler's end.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Cell>);

impl Reader {
    pub(crate) fn poll(
        &mut self,
        want: Want,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Item, BodyError>> {
        let mut slot = self.0.lock();
        if let Some(item) = slot.item.take() {
            slot.item = slot.more.pop_front();
            return Poll::Ready(Ok(item));
        }
        if let Some(error) = slot.failed {
            return Poll::Ready(Err(error));
        }
        slot.want = want;
        match &mut slot.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let feeder = slot.feeder.take();
        drop(slot);
        if let Some(feeder) = feeder {
            feeder.wake();
        }
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut slot = self.0.lock();
        slot.reader_gone = true;
        slot.want = Want::Nothing;
        let feeder = slot.feeder.take();
        drop(slot);
        if let Some(feeder) = feeder {
            feeder.wake();
        }
    }
}

/// The connection's end.
#[derive(Debug)]
pub(crate) struct Feeder(Arc<Cell>);

/// What the reader looks like from the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) want: Want,
    pub(crate) reader_gone: bool,
}

impl Feeder {
    /// The task is awake, so it need not be woken: a reader in it would make it spin.
    pub(crate) fn unpark(&mut self) {
        self.0.lock().feeder = None;
    }

    /// What is wanted now.
    pub(crate) fn demand(&self) -> Demand {
        let slot = self.0.lock();
        Demand { want: slot.want, reader_gone: slot.reader_gone }
    }

    pub(crate) fn deliver(&mut self, item: Item, cx: &Context<'_>) {
        let mut slot = self.0.lock();
        slot.want = Want::Nothing;
        match slot.item {
            None => slot.item = Some(item),
            Some(_) => slot.more.push_back(item),
        }
        Self::wake_reader(slot, cx.waker());
    }

    /// The reader gets this error behind the item that it may not have taken yet.
    pub(crate) fn fail(&mut self, error: BodyError, own: &Waker) {
        let mut slot = self.0.lock();
        slot.want = Want::Nothing;
        slot.failed.get_or_insert(error);
        Self::wake_reader(slot, own);
    }

    /// Lets the task sleep until the demand differs from `seen`; false when it does already.
    pub(crate) fn park(&mut self, seen: Demand, cx: &Context<'_>) -> bool {
        let mut slot = self.0.lock();
        if (Demand { want: slot.want, reader_gone: slot.reader_gone }) != seen {
            return false;
        }
        slot.feeder = Some(cx.waker().clone());
        true
    }

    /// A reader in the task `own` is polled next anyway.
    fn wake_reader(mut slot: MutexGuard<'_, Slot>, own: &Waker) {
        let reader = slot.reader.take();
        drop(slot);
        if let Some(reader) = reader
            && !reader.will_wake(own)
        {
            reader.wake();
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.fail(BodyError::Disconnected, Waker::noop());
    }
}
