//! The wire, without state of a dialogue: heads, chunks, encoding.
//!
//! Incomplete input exists in [`scan`], [`head`] and [`chunk`] only; what they call sees whole blocks or says that
//! the bytes end.

pub mod chunk;
pub(crate) mod class;
pub(crate) mod cursor;
pub(crate) mod encode;
pub(crate) mod fields;
pub mod head;
pub mod scan;
pub(crate) mod start_line;
pub(crate) mod target;
