//! The one error type of the crate.
//!
//! Sentences are written in the module where the failure happens; callers see one opaque [`Error`] with a
//! [`kind`](Error::kind) to branch on. A failure added later breaks nobody.

use std::error::Error as StdError;
use std::fmt;

/// What the crate's fallible functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure: a sentence for people, a [`kind`](Error::kind) for programs, and the cause where there is one.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    range: Option<(usize, usize)>,
    suggestions: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What sort of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Text (a query, an exposition, a template) that does not parse or does not type-check.
    Parse,
    /// A query that failed while it was evaluated, for example many-to-many matching.
    Query,
    /// An argument that the function cannot work with.
    InvalidArgument,
    /// A part of the language or of a format that this version does not implement.
    Unsupported,
    /// A sample that is too old for its series, or repeats a time with another value.
    OutOfOrder,
    /// A query that was stopped through its [`CancellationToken`](crate::CancellationToken).
    Canceled,
    /// A query whose [deadline](crate::Engine::deadline) passed while it was evaluated.
    TimedOut,
    /// A size that exceeds its limit; the text names the limit, the value asked and the value allowed.
    Limit,
    /// Bytes that are not what was written.
    Corrupt,
    /// An operation of the file system failed.
    Io,
    /// The store, or the gate, no longer takes work.
    Closed,
    /// The store is open for writing elsewhere: in another process, or in this one.
    Locked,
    /// There is no space for what was to be written; it may be written when there is.
    Full,
    /// An earlier failure of the file system stopped the store; it has to be opened again.
    Failed,
}

impl Error {
    /// An error with its sentence: lower case, no full stop, what was found and what was allowed. For whoever writes a
    /// [`Source`](crate::Source) of their own.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                range: None,
                suggestions: Vec::new(),
                source: None,
            }),
        }
    }

    /// The same error, pointing at bytes `start..end` of the text that was parsed.
    pub(crate) fn at(mut self, start: usize, end: usize) -> Self {
        self.inner.range = Some((start, end));
        self
    }

    /// The same error with names that may have been meant, the nearest first.
    pub(crate) fn suggesting(mut self, suggestions: Vec<String>) -> Self {
        self.inner.suggestions = suggestions;
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The byte range of the parsed text that is at fault, if the failure has one.
    pub fn text_range(&self) -> Option<std::ops::Range<usize>> {
        self.inner.range.map(|(start, end)| start..end)
    }

    /// For a name that is not known: known ones that are near, the nearest first, at most three.
    ///
    /// ```
    /// let error = promgate::Engine::new().prepare("sum(raet(x[5m]))").unwrap_err();
    /// assert_eq!(error.to_string(), r#"1:5: parse error: unknown function with name "raet""#);
    /// assert_eq!((error.text_range(), error.suggestions()[0].as_str()), (Some(4..8), "rate"));
    /// ```
    pub fn suggestions(&self) -> &[String] {
        &self.inner.suggestions
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("range", &self.inner.range)
            .field("suggestions", &self.inner.suggestions)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_sentence_and_keeps_its_cause() {
        let error = Error::new(ErrorKind::Limit, "17 labels, at most 16")
            .caused_by(std::io::Error::other("disk"))
            .at(3, 5);
        assert_eq!(error.to_string(), "17 labels, at most 16");
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(error.text_range(), Some(3..5));
        assert_eq!(error.source().unwrap().to_string(), "disk");
    }

    #[test]
    fn an_error_can_cross_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<Error>();
    }
}
