//! What looks at bodies: an interface for engines, and several of them as one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::engine::{Engine, Finding, Scan};

/// Something that looks at bodies, one piece after the other.
pub trait Inspector: Send + Sync + 'static {
    /// Begins with a body.
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Inspection>, Failed>>;
}

/// One body that is being looked at.
pub trait Inspection: Send {
    /// Looks at the next piece, and may know already.
    fn update<'a>(&'a mut self, data: &'a Bytes) -> BoxFuture<'a, Result<Option<Finding>, Failed>>;

    /// Ends the body.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Option<Finding>, Failed>>;
}

/// An inspector failed: nothing is known about the body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// The way to it.
    #[error("the scanner is not to be had: {0}")]
    Io(std::io::Error),
    /// clamd said something that is no verdict.
    #[error("clamd says: {0}")]
    Clamd(String),
}

impl Inspector for Engine {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Inspection>, Failed>> {
        let scan: Box<dyn Inspection> = Box::new(self.scan());
        std::future::ready(Ok(scan)).boxed()
    }
}

impl Inspection for Scan {
    fn update<'a>(&'a mut self, data: &'a Bytes) -> BoxFuture<'a, Result<Option<Finding>, Failed>> {
        Self::update(self, data);
        std::future::ready(Ok(self.finding().cloned())).boxed()
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Option<Finding>, Failed>> {
        std::future::ready(Ok(Self::finish(*self))).boxed()
    }
}

/// Several inspectors. The first that finds something is heard; a body is clean when all say so.
#[derive(Clone, Default)]
pub struct Inspectors(Vec<Arc<dyn Inspector>>);

impl std::fmt::Debug for Inspectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Inspectors").field(&self.0.len()).finish()
    }
}

impl Inspectors {
    /// Adds one.
    #[must_use]
    pub fn with(mut self, inspector: impl Inspector) -> Self {
        self.0.push(Arc::new(inspector));
        self
    }

    pub(crate) async fn begin(&self) -> Result<Inspections, Failed> {
        let mut begun = Vec::with_capacity(self.0.len());
        for inspector in &self.0 {
            begun.push(inspector.begin().await?);
        }
        Ok(Inspections(begun))
    }
}

/// One body before all of them.
pub(crate) struct Inspections(Vec<Box<dyn Inspection>>);

impl Inspections {
    pub(crate) async fn update(&mut self, data: &Bytes) -> Result<Option<Finding>, Failed> {
        for inspection in &mut self.0 {
            if let Some(finding) = inspection.update(data).await? {
                return Ok(Some(finding));
            }
        }
        Ok(None)
    }

    pub(crate) async fn finish(self) -> Result<Option<Finding>, Failed> {
        for inspection in self.0 {
            if let Some(finding) = inspection.finish().await? {
                return Ok(Some(finding));
            }
        }
        Ok(None)
    }
}
