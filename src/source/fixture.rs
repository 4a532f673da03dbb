//! A source for tests: series in memory, in label order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use super::{Item, SelectRequest, Series, SeriesChunk, SeriesSet, Source};
use crate::chunk::{Chunk, FamilyRows, OpenRows};
use crate::error::Result;
use crate::model::Labels;

pub(crate) struct Fixture(pub(crate) Vec<Series>);

impl Source for Fixture {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let accepts =
            |series: &&Series| request.matchers.iter().all(|matcher| matcher.accepts(series.labels()));
        Ok(SeriesSet { items: self.0.iter().filter(accepts).cloned().map(Item::Series).collect() })
    }
}

/// A series of which reading fails, and counts that it did.
pub(crate) fn unreadable_series(labels: Labels, failed: Arc<AtomicUsize>) -> Series {
    #[derive(Debug)]
    struct Damaged(Arc<AtomicUsize>);
    impl OpenRows for Damaged {
        fn rows(&self, _: u32) -> Option<&FamilyRows> {
            self.0.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
    let chunk = Chunk::Open { held: Arc::new(Damaged(failed)), place: 0 };
    Series::from_chunks(labels, SmallVec::from_iter([SeriesChunk { chunk, column: 0 }]))
}
