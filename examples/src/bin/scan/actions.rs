//! What follows a block.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use icap::verdict::Verdict;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::spawn_blocking;

use crate::arguments::{Arguments, shown};
use crate::files::{STDIN, State};
use crate::output::Row;

/// How long a program may take for one file; then it is killed.
const EXEC: Duration = Duration::from_secs(60);
/// Files of one name in the quarantine.
const SAME_NAME: u32 = 10_000;

/// What is to be done about blocked files, and about no others: a server that fails has found nothing.
#[derive(Debug)]
pub(crate) struct Actions {
    quarantine: Option<PathBuf>,
    exec: Option<PathBuf>,
}

impl Actions {
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        if let Some(folder) = &arguments.quarantine {
            private_folder(folder).with_context(|| shown(folder).into_owned())?;
        }
        Ok(Self { quarantine: arguments.quarantine.clone(), exec: arguments.exec.clone() })
    }

    /// Does it, and notes in the row what came of it. A file that was read ahead comes with what it was like then: the
    /// verdict is about that, and nothing is done about what has come in its place.
    pub(crate) async fn follow(&self, row: &mut Row, read: Option<State>) {
        let is_any = self.quarantine.is_some() || self.exec.is_some();
        if !is_any || !matches!(row.verdict(), Verdict::Block(_)) {
            return;
        }
        if let Some(read) = read
            && let Err(error) = is_still(&row.file, read).await
        {
            row.failures.push(format!("nothing was done about it: {error}"));
            return;
        }
        let is_file = row.file != Path::new(STDIN);
        if let (Some(folder), true) = (&self.quarantine, is_file) {
            let (folder, file) = (folder.clone(), row.file.clone());
            let moved = spawn_blocking(move || quarantine(&file, &folder)).await;
            match moved.map_err(io::Error::other).and_then(|moved| moved) {
                Ok(place) => row.quarantined = Some(place),
                Err(error) => row.failures.push(format!("quarantine: {error}")),
            }
        }
        if let Some(program) = &self.exec
            && let Err(error) = exec(program, row).await
        {
            row.failures.push(format!("{}: {error:#}", shown(program)));
        }
    }
}

/// An error when the path does not lead to what was read.
async fn is_still(file: &Path, read: State) -> io::Result<()> {
    let file = file.to_owned();
    let metadata = spawn_blocking(|| fs::metadata(file)).await.map_err(io::Error::other)??;
    if metadata.is_file() && State::of(&metadata) == read {
        return Ok(());
    }
    Err(io::Error::other("changed since it was read"))
}

/// Moves a file, not a link to it, into the folder, under a name that is free there.
fn quarantine(file: &Path, folder: &Path) -> io::Result<PathBuf> {
    let file = fs::canonicalize(file)?;
    if file.parent() == Some(&fs::canonicalize(folder)?) {
        // Each scan of that folder would give it another name.
        return Ok(file);
    }
    let name = file.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    for number in 0..SAME_NAME {
        let mut free = name.to_owned();
        if number > 0 {
            free.push(format!(".{number}"));
        }
        let place = folder.join(free);
        match take(&file, &place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(place),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Neither way puts anything in the place of a file that is there already, as a renaming would.
fn take(file: &Path, place: &Path) -> io::Result<()> {
    match fs::hard_link(file, place) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // Another disk, or one without links.
        Err(_) => copy(file, place)?,
    }
    fs::remove_file(file)
}

fn copy(file: &Path, place: &Path) -> io::Result<()> {
    let mut from = File::open(file)?;
    let mut to = private_file(place)?;
    let copied = io::copy(&mut from, &mut to).and_then(|_| to.sync_all());
    if copied.is_err() {
        // Half a file would look like the whole.
        let _ = fs::remove_file(place);
    }
    copied
}

/// Runs the program with the path of the file as its one argument and the row as its input. No shell reads either.
async fn exec(program: &Path, row: &Row) -> anyhow::Result<()> {
    let file = row.quarantined.as_deref().unwrap_or(&row.file);
    // An absolute path cannot be taken for an option.
    let file = if file == Path::new(STDIN) { file.to_owned() } else { std::path::absolute(file)? };
    let json = serde_json::to_vec(row)?;
    let mut child = Command::new(program)
        .arg(file)
        .stdin(Stdio::piped())
        // The standard output has rows, perhaps for another program.
        .stdout(io::stderr())
        .kill_on_drop(true)
        .spawn()?;
    let input = child.stdin.take();
    let run = async {
        if let Some(mut input) = input {
            // A program that does not read it is none the worse.
            let _ = input.write_all(&json).await;
        }
        child.wait().await
    };
    let status = match tokio::time::timeout(EXEC, run).await {
        Ok(status) => status?,
        Err(_) => bail!("not done after {} s, killed", EXEC.as_secs()),
    };
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

/// A folder that nobody else can read, unless there is one already.
fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A new file that nobody else can read.
fn private_file(place: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_changed_is_not_the_one_that_was_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "abc").expect("room on the disk");
        let read = State::of(&fs::metadata(&path).expect("a file"));
        is_still(&path, read).await.expect("the same");

        let file = File::options().write(true).open(&path).expect("a file");
        let modified = read.modified.expect("a time");
        file.set_modified(modified - Duration::from_secs(1)).expect("a time");
        let error = is_still(&path, read).await.expect_err("another time");
        assert_eq!(error.to_string(), "changed since it was read");

        file.set_len(4).expect("room on the disk");
        file.set_modified(modified).expect("a time");
        is_still(&path, read).await.expect_err("another length");
        fs::remove_file(&path).expect("it is there");
        is_still(&path, read).await.expect_err("gone");
    }
}
