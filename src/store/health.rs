//! Whether a store takes samples.

/// Whether a store takes samples.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It does.
    Good,
    /// There was no room for the last batch; the next one tries again.
    Full,
    /// A sync failed: it takes nothing before it is opened again. Reading goes on.
    Failed(String),
    /// It was opened to be read.
    ReadOnly,
    /// It was [closed](crate::Store::close).
    Closed,
}
