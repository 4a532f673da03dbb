//! Plain values: time, labels, samples, matchers. No I/O, no locks.

pub(crate) mod calendar;
pub(crate) mod exemplar;
pub(crate) mod histogram;
pub(crate) mod kahan;
pub(crate) mod label;
pub(crate) mod log;
pub(crate) mod loss;
pub(crate) mod matcher;
pub(crate) mod nearest;
pub(crate) mod number;
pub(crate) mod pattern;
pub(crate) mod quoted;
pub(crate) mod sample;
pub(crate) mod time;
pub(crate) mod xml;

pub use exemplar::{Exemplar, SeriesExemplars};
pub use histogram::{CounterResetHint, NativeHistogram, Span};
pub use label::{Label, Labels, LabelsBuilder};
pub use loss::{Loss, Lost};
pub use matcher::{MatchOp, Matcher};
pub use sample::{Sample, SampleBuffer, SampleValue, is_stale, stale_marker};
pub use time::{Timestamp, Window};
