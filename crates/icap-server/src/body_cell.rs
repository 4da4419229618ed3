//! Where the body of a request crosses from the connection to whoever reads it.
//!
//! The reader says what it wants, the connection reads the socket, puts one item in, for some services all that have
//! come by then, and reads no more before it is asked again. Mostly both ends live in the same task and no waker is
//! ever called; the reader may as well be moved to another one.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use icap_proto::Headers;

use crate::BodyError;

/// One step of a body.
#[derive(Debug)]
pub(crate) enum Item {
    Data(Bytes),
    /// The whole preview.
    Preview {
        bytes: Bytes,
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
    let feeder = Feeder { cell: Arc::clone(&cell), parked: false, over: false };
    (feeder, Reader(cell))
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

    /// The preview, and whether it is the whole body.
    pub(crate) async fn preview(&mut self) -> Result<(Bytes, bool), BodyError> {
        loop {
            match poll_fn(|cx| self.poll(Want::Item, cx)).await? {
                Item::Preview { bytes, complete } => return Ok((bytes, complete)),
                Item::End { .. } => return Ok((Bytes::new(), true)),
                Item::Data(_) | Item::Continued => {}
            }
        }
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
pub(crate) struct Feeder {
    cell: Arc<Cell>,
    /// A waker is in the cell.
    parked: bool,
    /// The reader has been told how the body ended.
    over: bool,
}

/// What the reader looks like from the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) want: Want,
    pub(crate) reader_gone: bool,
}

impl Feeder {
    /// The task is awake, so it need not be woken: a reader in it would make it spin.
    pub(crate) fn unpark(&mut self) {
        if std::mem::take(&mut self.parked) {
            self.cell.lock().feeder = None;
        }
    }

    /// What is wanted now.
    pub(crate) fn demand(&self) -> Demand {
        let slot = self.cell.lock();
        Demand { want: slot.want, reader_gone: slot.reader_gone }
    }

    pub(crate) fn deliver(&mut self, item: Item, own: &Waker) {
        let mut slot = self.cell.lock();
        slot.want = Want::Nothing;
        match slot.item {
            None => slot.item = Some(item),
            Some(_) => slot.more.push_back(item),
        }
        Self::wake_reader(slot, own);
    }

    /// The reader gets this error behind the item that it may not have taken yet.
    pub(crate) fn fail(&mut self, error: BodyError, own: &Waker) {
        self.over = true;
        // The reader is gone.
        if Arc::strong_count(&self.cell) == 1 {
            return;
        }
        let mut slot = self.cell.lock();
        slot.want = Want::Nothing;
        slot.failed.get_or_insert(error);
        Self::wake_reader(slot, own);
    }

    /// Lets the task sleep until the demand differs from `seen`; false when it does already.
    pub(crate) fn park(&mut self, seen: Demand, cx: &Context<'_>) -> bool {
        let mut slot = self.cell.lock();
        if (Demand { want: slot.want, reader_gone: slot.reader_gone }) != seen {
            return false;
        }
        slot.feeder = Some(cx.waker().clone());
        self.parked = true;
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
        if !self.over {
            self.fail(BodyError::Disconnected, Waker::noop());
        }
    }
}
