//! `Transfer-Preview`, `Transfer-Ignore`, `Transfer-Complete`: what a service wants of which kind of file.

use alloc::string::String;
use alloc::vec::Vec;

use crate::headers::{Headers, InvalidHeader};
use crate::wire::class;

/// What a client does with a message, by the extension of the file (RFC 3507 section 4.10.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transfer {
    /// Sent with a preview.
    Preview,
    /// Not sent at all.
    Ignore,
    /// Sent whole, without a preview.
    Complete,
}

impl Transfer {
    /// The field that lists the extensions.
    const fn field(self) -> &'static str {
        match self {
            Self::Preview => "Transfer-Preview",
            Self::Ignore => "Transfer-Ignore",
            Self::Complete => "Transfer-Complete",
        }
    }
}

/// The three lists of file extensions and what happens to all other files.
///
/// ```text
/// Transfer-Preview: *
/// Transfer-Ignore: gif, jpg
/// Transfer-Complete: exe
/// ```
///
/// Extensions are compared without ASCII case; the RFC leaves that open, and files come in either. What is built
/// here names an extension once and one default, as the RFC demands. What was received may name an extension twice:
/// then a preview comes first, complete second, ignore last. Of several defaults complete stands before preview
/// and preview before ignore; without any it is complete. So a list that contradicts itself never keeps a file
/// from being inspected.
///
/// ```
/// use icap_proto::{Transfer, TransferRules};
///
/// let rules = TransferRules::new(Transfer::Preview).with(Transfer::Ignore, "gif")?;
/// assert_eq!(rules.for_path("/logo.GIF?size=2"), Transfer::Ignore);
/// assert_eq!(rules.for_path("/setup.exe"), Transfer::Preview);
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRules {
    /// In the order of precedence.
    lists: [(Transfer, Vec<String>); 3],
    default: Transfer,
}

impl TransferRules {
    /// Rules that treat every file alike.
    #[must_use]
    pub const fn new(default: Transfer) -> Self {
        let lists = [
            (Transfer::Preview, Vec::new()),
            (Transfer::Complete, Vec::new()),
            (Transfer::Ignore, Vec::new()),
        ];
        Self { lists, default }
    }

    /// Reads the fields of an answer to OPTIONS, `None` when it has none of them: then everything is sent whole
    /// (RFC 3507 section 4.10.2). Members that are no token are left out; a dot in front of one is dropped.
    #[must_use]
    pub fn from_headers(headers: &Headers) -> Option<Self> {
        let mut rules = Self::new(Transfer::Complete);
        let mut found = false;
        // The last default stands.
        for transfer in [Transfer::Ignore, Transfer::Preview, Transfer::Complete] {
            found |= headers.get(transfer.field()).is_some();
            for member in headers.list(transfer.field()) {
                if member == b"*" {
                    rules.default = transfer;
                } else if let Some(extension) = extension(member) {
                    rules.add(transfer, extension);
                }
            }
        }
        found.then_some(rules)
    }

    /// Treats files with this extension so. An extension has one treatment: an earlier one is forgotten.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when the extension is no token, starts with a dot, or is `*`: the default is given
    /// to [`new`](Self::new).
    pub fn with(mut self, transfer: Transfer, extension: &str) -> Result<Self, InvalidHeader> {
        if self::extension(extension.as_bytes()) != Some(extension) {
            return Err(InvalidHeader::Value);
        }
        for (_, list) in &mut self.lists {
            list.retain(|listed| !listed.eq_ignore_ascii_case(extension));
        }
        self.add(transfer, extension);
        Ok(self)
    }

    fn add(&mut self, transfer: Transfer, extension: &str) {
        for (_, list) in self.lists.iter_mut().filter(|(listed, _)| *listed == transfer) {
            list.push(extension.into());
        }
    }

    /// What happens to the file of this URL or path: decided by what follows a dot in the last segment, without
    /// query and fragment; a URL without a path names no file. `tar.gz` and `gz` both fit `/a.tar.gz`.
    #[must_use]
    pub fn for_path(&self, path: &str) -> Transfer {
        if self.lists.iter().all(|(_, list)| list.is_empty()) {
            return self.default;
        }
        let end = path.find(['?', '#']).unwrap_or(path.len());
        let path = path.get(..end).unwrap_or_default();
        // A host is no file, though it may end like one: `http://a.example.zip`.
        let path = match path.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => {
                rest.split_once('/').map_or("", |(_, path)| path)
            }
            _ => path,
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        self.find(|extension| has_extension(name, extension))
    }

    /// What happens to files with this extension, given without a dot.
    #[must_use]
    pub fn for_extension(&self, extension: &str) -> Transfer {
        self.find(|listed| listed.eq_ignore_ascii_case(extension))
    }

    fn find(&self, fits: impl Fn(&str) -> bool) -> Transfer {
        let listed = self.lists.iter().find(|(_, list)| list.iter().any(|one| fits(one)));
        listed.map_or(self.default, |(transfer, _)| *transfer)
    }

    /// What happens to files whose extension is not listed.
    #[must_use]
    pub const fn default_transfer(&self) -> Transfer {
        self.default
    }

    /// The extensions listed for this treatment, without the `*` of the default.
    pub fn extensions(&self, transfer: Transfer) -> impl Iterator<Item = &str> {
        let lists = self.lists.iter().filter(move |(listed, _)| *listed == transfer);
        lists.flat_map(|(_, list)| list.iter().map(String::as_str))
    }

    /// The fields, with exactly one `*` among them.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        [Transfer::Preview, Transfer::Ignore, Transfer::Complete].into_iter().filter_map(
            |transfer| {
                let wildcard = (transfer == self.default).then_some("*");
                let members: Vec<&str> = self.extensions(transfer).chain(wildcard).collect();
                (!members.is_empty()).then(|| (transfer.field(), members.join(", ")))
            },
        )
    }
}

/// A member of a list as an extension, without the dot that some products write.
fn extension(member: &[u8]) -> Option<&str> {
    let extension = member.strip_prefix(b".").unwrap_or(member);
    let fits = class::is_token(extension) && extension != b"*";
    core::str::from_utf8(extension).ok().filter(|_| fits)
}

/// Whether the name ends in a dot and the extension.
fn has_extension(name: &str, extension: &str) -> bool {
    let Some(dot) = name.len().checked_sub(extension.len().saturating_add(1)) else {
        return false;
    };
    // Bytes: the cut may fall inside a character, which then is no dot.
    match name.as_bytes().split_at_checked(dot) {
        Some((_, [b'.', end @ ..])) => end.eq_ignore_ascii_case(extension.as_bytes()),
        _ => false,
    }
}
