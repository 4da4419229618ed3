//! What can go wrong in a handler.

use std::error::Error as StdError;

/// An error of a handler: anything that `?` is used on.
///
/// The server logs it and answers 500, or breaks the answer off when its head is already sent. The text does not
/// go to the client. Like other types of this kind it is no [`std::error::Error`] itself.
///
/// ```
/// fn load(path: &str) -> Result<String, icap_server::Error> {
///     if path.is_empty() {
///         return Err("no path".into());
///     }
///     Ok(std::fs::read_to_string(path)?)
/// }
/// assert_eq!(load("").unwrap_err().to_string(), "no path");
/// ```
pub struct Error(Box<dyn StdError + Send + Sync>);

impl Error {
    /// The error inside, to look at or to downcast.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }

    /// The error inside.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn StdError + Send + Sync> {
        self.0
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// The whole chain of causes.
impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_chain(f, &*self.0)
    }
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Error").field(&self.0).finish()
    }
}

fn write_chain(f: &mut std::fmt::Formatter<'_>, error: &dyn StdError) -> std::fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}

/// Why the body of a request cannot be read any further. The request is answered by the server then, whatever
/// the handler makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client broke the protocol, or closed the connection inside the body.
    #[error(transparent)]
    Protocol(#[from] icap_proto::Error),
    /// The client sent nothing for longer than [`Timeouts::body`](crate::Timeouts::body).
    #[error("timed out waiting for the body")]
    TimedOut,
    /// It is longer than [`ServiceConfig::max_body`](crate::ServiceConfig::max_body).
    #[error("the body is longer than the service takes")]
    TooLong,
    /// The connection is gone.
    #[error("connection lost inside the body")]
    Disconnected,
    /// The answer is complete: what is left of the request is thrown away.
    #[error("the request was answered before its body was read")]
    Answered,
}

/// For readers that know only errors of I/O.
impl From<BodyError> for std::io::Error {
    fn from(error: BodyError) -> Self {
        use std::io::ErrorKind;
        let kind = match error {
            BodyError::Protocol(icap_proto::Error::Closed(_)) | BodyError::Disconnected => {
                ErrorKind::UnexpectedEof
            }
            BodyError::Protocol(_) => ErrorKind::InvalidData,
            BodyError::TimedOut => ErrorKind::TimedOut,
            BodyError::TooLong => ErrorKind::FileTooLarge,
            BodyError::Answered => ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
