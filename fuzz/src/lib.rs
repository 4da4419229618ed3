//! What the fuzz targets share: the settings they run under, how bytes are fed, and what must hold of any dialogue.
//!
//! Every target takes bytes of the wire as they are, behind one byte where there is something to choose, so that
//! seeds are recordings and a reproducer can be read.

pub mod dialogue;
pub mod encode;
pub mod head;
pub mod script;
pub mod settings;
