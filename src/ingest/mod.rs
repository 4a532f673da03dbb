//! The outside, as samples.

mod append;
pub(crate) mod exposition;
mod intake;
pub(crate) mod limits;
#[cfg(feature = "recordings")]
pub(crate) mod recordings;

pub use exposition::{
    Exposition, ExpositionEntry, ExpositionExemplar, ExpositionFormat, ExpositionOptions, ExpositionSample,
    MetricType,
};
pub use intake::{Gathered, Intake};
pub use limits::IntakeLimits;
#[cfg(feature = "recordings")]
pub use recordings::{RecordedSeries, Recording, RecordingIter};
