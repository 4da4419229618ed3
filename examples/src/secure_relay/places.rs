//! Room for connections: so many in all, so many for one source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;

use super::upstream;

/// Who is connected.
#[derive(Debug, Default)]
pub(crate) struct Places {
    live: AtomicUsize,
    sources: Mutex<HashMap<IpAddr, usize>>,
}

impl Places {
    /// One of `most`, and of `limit` for its source.
    pub(crate) fn take(
        self: &Arc<Self>,
        most: usize,
        source: IpAddr,
        limit: usize,
    ) -> anyhow::Result<Place> {
        if !upstream::take(&self.live, most) {
            bail!("all {most} connections are in use");
        }
        let source = source.to_canonical();
        let mut place = Place { places: Arc::clone(self), source: None };
        {
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            let live = sources.entry(source).or_default();
            if *live < limit {
                *live = live.saturating_add(1);
                place.source = Some(source);
            }
        }
        if place.source.is_none() {
            bail!("the source has {limit} connections already");
        }
        Ok(place)
    }

    /// Those that are taken.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }
}

/// Room for one connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    source: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.live.fetch_sub(1, Ordering::Relaxed);
        let Some(source) = self.source else { return };
        let mut sources = self.places.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = sources.get_mut(&source) {
            *live = live.saturating_sub(1);
            if *live == 0 {
                sources.remove(&source);
            }
        }
    }
}
