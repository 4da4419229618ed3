//! Where the body of a request crosses from the connection to whoever reads it.
//!
//! The reader says what it wants, the connection reads the socket, hands over what has come by then, and reads no more
//! before it is asked again. Mostly both ends live in the same task and no waker is ever called; the reader may as well
//! be moved to another one. Each end keeps its items to itself as long as it can: the lock costs more than they do.

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

/// Items that a spare cell has room for at most.
const KEPT_ITEMS: usize = 16;

thread_local! {
    /// For the next request: requests follow each other, and mostly one does for all of a thread.
    static SPARE: std::cell::Cell<Option<Arc<Cell>>> = const { std::cell::Cell::new(None) };
}

/// The two ends of an empty cell.
pub(crate) fn cell() -> (Feeder, Reader) {
    let cell = SPARE.take().unwrap_or_default();
    let feeder = Feeder { cell: Arc::clone(&cell), items: Vec::new(), parked: false, over: false };
    (feeder, Reader { cell, items: Vec::new() })
}

#[derive(Debug, Default)]
struct Cell(Mutex<Slot>);

#[derive(Debug, Default)]
struct Slot {
    want: Want,
    items: Vec<Item>,
    failed: Option<BodyError>,
    reader_gone: bool,
    /// Waits for an item.
    reader: Option<Waker>,
    /// Waits for a want; only while its task sleeps, so that a reader in the same task does not wake itself.
    feeder: Option<Waker>,
}

impl Slot {
    /// As it is when it is new, but for room for items.
    fn renew(&mut self) {
        let Self { want, items, failed, reader_gone, reader, feeder } = self;
        (*want, *failed, *reader_gone) = (Want::Nothing, None, false);
        (*reader, *feeder) = (None, None);
        items.clear();
        items.shrink_to(KEPT_ITEMS);
    }
}

impl Cell {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handler's end.
#[derive(Debug)]
pub(crate) struct Reader {
    cell: Arc<Cell>,
    /// Taken out of the cell, the next one last.
    items: Vec<Item>,
}

impl Reader {
    pub(crate) fn poll(
        &mut self,
        want: Want,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Item, BodyError>> {
        if let Some(item) = self.items.pop() {
            return Poll::Ready(Ok(item));
        }
        let mut slot = self.cell.lock();
        if !slot.items.is_empty() || slot.items.capacity() == 0 {
            std::mem::swap(&mut slot.items, &mut self.items);
            self.items.reverse();
        }
        if let Some(item) = self.items.pop() {
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
        match poll_fn(|cx| self.poll(Want::Item, cx)).await? {
            Item::Preview { bytes, complete } => Ok((bytes, complete)),
            // It comes whole and before all else; what came in its place cannot be put back.
            Item::Data(_) | Item::Continued | Item::End { .. } => Err(BodyError::Disconnected),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut slot = self.cell.lock();
        if self.items.is_empty() {
            // The room stays, and what nobody reads goes.
            std::mem::swap(&mut slot.items, &mut self.items);
        }
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
    /// Not handed over yet.
    items: Vec<Item>,
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

    /// Whether this is its reader, and nothing is on its way to it.
    pub(crate) fn has_all(&self, reader: &Reader) -> bool {
        let is_empty = self.items.is_empty() && reader.items.is_empty() && !self.over;
        is_empty && Arc::ptr_eq(&self.cell, &reader.cell) && self.cell.lock().items.is_empty()
    }

    /// What is wanted now.
    pub(crate) fn demand(&mut self) -> Demand {
        let mut slot = self.cell.lock();
        if self.items.capacity() == 0 && slot.items.is_empty() {
            // Room for what comes next.
            std::mem::swap(&mut slot.items, &mut self.items);
        }
        Demand { want: slot.want, reader_gone: slot.reader_gone }
    }

    /// One more item for the next [`hand_over`](Self::hand_over).
    pub(crate) fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Gives the reader the items. It is not woken when it is in the task `own`, which polls it next anyway.
    pub(crate) fn hand_over(&mut self, own: &Waker) {
        if self.items.is_empty() {
            return;
        }
        let mut slot = self.cell.lock();
        slot.want = Want::Nothing;
        move_items(&mut self.items, &mut slot.items);
        Self::wake_reader(slot, own);
    }

    /// The reader gets this error behind the items that it may not have taken yet.
    pub(crate) fn fail(&mut self, error: BodyError, own: &Waker) {
        self.over = true;
        // The reader is gone.
        if Arc::strong_count(&self.cell) == 1 {
            return;
        }
        let mut slot = self.cell.lock();
        slot.want = Want::Nothing;
        move_items(&mut self.items, &mut slot.items);
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
        if slot.reader.as_ref().is_none_or(|reader| reader.will_wake(own)) {
            return;
        }
        let reader = slot.reader.take();
        drop(slot);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Puts the items behind those that are there already, which nearly always are none.
fn move_items(from: &mut Vec<Item>, to: &mut Vec<Item>) {
    if to.is_empty() {
        std::mem::swap(from, to);
    } else {
        to.append(from);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        if !self.over {
            self.fail(BodyError::Disconnected, Waker::noop());
        }
        // The reader is gone, and nobody else looks at the cell.
        if let Some(Cell(slot)) = Arc::get_mut(&mut self.cell) {
            slot.get_mut().unwrap_or_else(PoisonError::into_inner).renew();
            // Without it on a thread that ends.
            let _ = SPARE.try_with(|spare| spare.set(Some(Arc::clone(&self.cell))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_renewed_is_new_but_for_room() {
        let mut slot = Slot {
            want: Want::Continue,
            items: std::iter::repeat_with(|| Item::Continued).take(17).collect(),
            failed: Some(BodyError::Disconnected),
            reader_gone: true,
            reader: Some(Waker::noop().clone()),
            feeder: Some(Waker::noop().clone()),
        };
        slot.renew();
        assert_eq!(slot.items.capacity(), 16);
        assert_eq!(format!("{slot:?}"), format!("{:?}", Slot::default()));
    }
}
