//! The files that are to be scanned, found as they are wanted.

use std::cmp::Ordering;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use walkdir::{DirEntry, WalkDir};

use crate::arguments::{Arguments, shown};

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
/// system lists them. The first is there at once, and no list of a large folder is kept, unless blocked files are moved
/// or given to a program: then each folder is listed to its end before its first file is there. What a link in a folder
/// leads to is not in that folder, and devices and pipes are no files. The quarantine is left out where it is below a
/// folder that was named: what was moved there would be found again. Named itself, it is scanned.
pub(crate) struct Found {
    paths: Vec<PathBuf>,
    recursive: bool,
    /// Folders are listed to their end first.
    whole: bool,
    quarantine: Option<Identity>,
    next: usize,
    folder: Option<walkdir::IntoIter>,
}

impl Found {
    /// The quarantine has to be there.
    pub(crate) fn new(arguments: &Arguments, paths: &[PathBuf]) -> anyhow::Result<Self> {
        let identity =
            |folder: &PathBuf| Identity::of(folder).with_context(|| shown(folder).into_owned());
        Ok(Self {
            paths: paths.to_vec(),
            recursive: arguments.recursive,
            whole: arguments.quarantine.is_some() || arguments.exec.is_some(),
            quarantine: arguments.quarantine.as_ref().map(identity).transpose()?,
            next: 0,
            folder: None,
        })
    }

    /// The same from the beginning.
    pub(crate) fn again(&self) -> Self {
        let (paths, quarantine) = (self.paths.clone(), self.quarantine.clone());
        Self { paths, quarantine, next: 0, folder: None, ..*self }
    }

    fn named(&mut self, path: PathBuf) -> Option<Item> {
        if path == Path::new(STDIN) {
            return Some(Item::Stdin);
        }
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && self.recursive => {
                let mut folder = WalkDir::new(path);
                if self.whole {
                    // Where files go from a folder while it is being listed, some file systems pass over others, which
                    // would then have no row. To sort a folder it is read whole; it stays in the order of the system.
                    folder = folder.sort_by(|_, _| Ordering::Equal);
                }
                self.folder = Some(folder.into_iter());
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

    /// The next one in the folder that is open.
    fn listed(&mut self) -> Option<Item> {
        let folder = self.folder.as_mut()?;
        while let Some(entry) = folder.next() {
            if let (Some(quarantine), Ok(entry)) = (&self.quarantine, &entry)
                && entry.depth() > 0
                && entry.file_type().is_dir()
                && Identity::of(entry.path()).is_ok_and(|identity| identity == *quarantine)
            {
                folder.skip_current_dir();
            } else if let Some(item) = inside(entry) {
                return Some(item);
            }
        }
        None
    }
}

impl Iterator for Found {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.listed() {
                return Some(item);
            }
            self.folder = None;
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

/// What tells a folder from all others, by whichever path it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    number: u64,
    #[cfg(not(unix))]
    path: PathBuf,
}

impl Identity {
    #[cfg(unix)]
    fn of(folder: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;

        let metadata = fs::metadata(folder)?;
        Ok(Self { device: metadata.dev(), number: metadata.ino() })
    }

    #[cfg(not(unix))]
    fn of(folder: &Path) -> io::Result<Self> {
        Ok(Self { path: fs::canonicalize(folder)? })
    }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// What is found with these arguments.
    fn found<'a>(arguments: impl IntoIterator<Item = &'a Path>) -> Found {
        let fixed = ["scan", "--recursive", "icap://localhost/respmod"].map(Path::new);
        let arguments = Arguments::parse_from(fixed.into_iter().chain(arguments));
        let target = arguments.target().expect("a service and paths");
        Found::new(&arguments, &target.paths).expect("a folder")
    }

    /// The names of the files, sorted.
    fn names(found: Found) -> Vec<String> {
        let name = |item| match item {
            Item::File(path) => path.file_name().expect("a name").to_string_lossy().into_owned(),
            other => panic!("{other:?}"),
        };
        let mut names: Vec<String> = found.map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn the_quarantine_is_left_out_of_the_folder_it_is_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let held = root.join("inside/held");
        fs::create_dir_all(held.join("deep")).expect("room");
        // A folder of the same name is another folder.
        fs::create_dir(root.join("held")).expect("room");
        for name in ["a", "inside/b", "inside/held/c", "inside/held/deep/d", "held/e"] {
            fs::write(root.join(name), name).expect("room");
        }
        let quarantine = Path::new("--quarantine");

        assert_eq!(names(found([root])), ["a", "b", "c", "d", "e"]);
        assert_eq!(names(found([quarantine, &held, root])), ["a", "b", "e"]);
        assert_eq!(names(found([quarantine, &held, root]).again()), ["a", "b", "e"]);
        let detour = root.join("held/../inside/./held");
        assert_eq!(names(found([quarantine, &detour, root])), ["a", "b", "e"]);
        let named = held.join(".");
        assert_eq!(names(found([quarantine, &held, &named])), ["c", "d"]);
        assert_eq!(names(found([quarantine, root, root])), ["a", "b", "c", "d", "e"]);
    }

    /// Nothing is left to be listed once the first is there, as on a file system that passes over files when others go.
    #[test]
    fn files_that_go_take_no_others_from_the_list() {
        const FILES: usize = 500;
        // Far more than a call of the system lists.
        let name = |number| format!("{number}{}", "x".repeat(200));
        let folder = tempfile::tempdir().expect("a folder");
        let (root, held) = (folder.path().join("root"), folder.path().join("held"));
        fs::create_dir(&held).expect("room");
        for option in ["--exec", "--quarantine"].map(Path::new) {
            fs::create_dir(&root).expect("room");
            (0..FILES).for_each(|number| fs::write(root.join(name(number)), "").expect("room"));
            let mut rest = found([option, &held, &root]);
            assert!(matches!(rest.next(), Some(Item::File(_))));
            fs::remove_dir_all(&root).expect("it is there");
            assert_eq!(names(rest).len(), FILES - 1, "{}", option.display());
        }
    }
}
