//! A source for tests: series in memory, in label order.

use crate::error::Result;

use super::{Item, SelectRequest, Series, SeriesSet, Source};

pub(crate) struct Fixture(pub(crate) Vec<Series>);

impl Source for Fixture {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let accepts =
            |series: &&Series| request.matchers.iter().all(|matcher| matcher.accepts(series.labels()));
        Ok(SeriesSet { items: self.0.iter().filter(accepts).cloned().map(Item::Series).collect() })
    }
}
