//! The wire, without state of a dialogue: finding the end of a head, parsing it, chunks, encoding.
//!
//! Incomplete input exists in [`scan`] and [`chunk`] only; everything below them sees whole blocks.

pub mod chunk;
pub(crate) mod class;
pub(crate) mod encode;
pub(crate) mod head;
pub mod scan;
