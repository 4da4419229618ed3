//! The files that are to be scanned, found as they are wanted.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use walkdir::{DirEntry, WalkDir};

/// The name of the standard input.
pub(crate) const STDIN: &str = "-";

/// One thing to be scanned.
#[derive(Debug)]
pub(crate) enum Item {
    File(PathBuf),
    Stdin,
    /// What cannot be scanned is not passed over in silence.
    Unreadable {
        path: PathBuf,
        why: String,
    },
}

/// Finds files: those that were named, and with `recursive` those in folders that were named, in the order in which the
/// system lists them: the first is there at once, and no list of a large folder is kept. What a link in a folder leads
/// to is not in that folder, and devices and pipes are no files.
pub(crate) struct Found {
    paths: Vec<PathBuf>,
    recursive: bool,
    next: usize,
    folder: Option<walkdir::IntoIter>,
}

impl Found {
    pub(crate) fn new(paths: &[PathBuf], recursive: bool) -> Self {
        Self { paths: paths.to_vec(), recursive, next: 0, folder: None }
    }

    /// The same from the beginning.
    pub(crate) fn again(&self) -> Self {
        Self::new(&self.paths, self.recursive)
    }

    fn named(&mut self, path: PathBuf) -> Option<Item> {
        if path == Path::new(STDIN) {
            return Some(Item::Stdin);
        }
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && self.recursive => {
                self.folder = Some(WalkDir::new(path).into_iter());
                None
            }
            Ok(metadata) if metadata.is_dir() => {
                let why = "is a folder; --recursive scans what is in it".to_owned();
                Some(Item::Unreadable { path, why })
            }
            Ok(metadata) if metadata.is_file() => Some(Item::File(path)),
            Ok(_) => Some(Item::Unreadable { path, why: "is no file".to_owned() }),
            Err(error) => Some(Item::Unreadable { path, why: error.to_string() }),
        }
    }
}

impl Iterator for Found {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(folder) = &mut self.folder {
                match folder.find_map(inside) {
                    Some(item) => return Some(item),
                    None => self.folder = None,
                }
            }
            let path = self.paths.get(self.next)?.clone();
            self.next = self.next.saturating_add(1);
            if let Some(item) = self.named(path) {
                return Some(item);
            }
        }
    }
}

/// What an entry of a folder is; nothing when it is no file.
fn inside(entry: walkdir::Result<DirEntry>) -> Option<Item> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => {
            let path = error.path().map(Path::to_owned).unwrap_or_default();
            let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            return Some(Item::Unreadable { path, why });
        }
    };
    if !entry.file_type().is_file() {
        return None;
    }
    Some(Item::File(entry.into_path()))
}

/// What tells a file from what it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// In bytes.
    pub(crate) length: u64,
    /// None where the system does not know.
    pub(crate) modified: Option<SystemTime>,
}

impl State {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}
