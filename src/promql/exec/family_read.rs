//! What is read of histogram families and of bucket series beside them, for sums over their rates.

use crate::error::Result;
use crate::model::SampleBuffer;
use crate::source::{Family, FamilyBuffer, FamilyEnds, Item};

use super::Evaluator;
use super::family::{RateSum, touch_next};
use super::range::drop_stale;

/// What was read of an item.
pub(super) enum Read<'a> {
    Ends(Ends<'a>),
    Rows(&'a FamilyBuffer),
    /// Of a single series.
    Samples(&'a SampleBuffer),
}

/// First and last row of a window.
pub(super) struct Ends<'a> {
    pub(super) times: (i64, i64),
    /// How many rows the window has.
    pub(super) count: usize,
    pub(super) first: &'a [f64],
    pub(super) last: &'a [f64],
}

/// Memory that is used again for the next item.
#[derive(Default)]
pub(super) struct Reader {
    rows: FamilyBuffer,
    ends: FamilyEnds,
    samples: SampleBuffer,
    what: What,
}

#[derive(Clone, Copy, Default)]
enum What {
    #[default]
    Rows,
    Ends,
    Samples,
}

impl Reader {
    /// Reads what the windows of a sum need of an item.
    pub(super) fn read_item(
        &mut self,
        evaluator: &Evaluator<'_>,
        sum: &RateSum<'_, '_>,
        item: &Item,
    ) -> Result<()> {
        let budget = &evaluator.budget;
        match item {
            Item::Family(family) => {
                budget.touch_series(family.bounds().len())?;
                let samples = self.read_family(family, sum)?;
                budget.count_read(family.chunks(), samples);
                budget.check_samples(samples as u64)?;
                budget.tick(samples.saturating_add(sum.steps().count()))
            }
            Item::Series(series) => {
                budget.touch_series(1)?;
                self.what = What::Samples;
                self.samples.clear();
                evaluator.read(series, sum.window(), &mut self.samples)?;
                drop_stale(&mut self.samples);
                budget.check_samples(self.samples.len() as u64)
            }
        }
    }

    /// Returns how many samples there are.
    fn read_family(&mut self, family: &Family, sum: &RateSum<'_, '_>) -> Result<usize> {
        let window = sum.window();
        if sum.steps().count() == 1 && family.read_ends(window, &mut self.ends)? {
            self.what = What::Ends;
            return Ok(self.ends.count.saturating_mul(self.ends.first.len()));
        }
        self.what = What::Rows;
        self.rows.clear();
        family.read_counts(window, &mut self.rows)?;
        Ok(self.rows.times().len().saturating_mul(self.rows.width()))
    }

    pub(super) fn read(&self) -> Read<'_> {
        let FamilyEnds { first_time, last_time, count, first, last } = &self.ends;
        match self.what {
            What::Rows => Read::Rows(&self.rows),
            What::Ends => Read::Ends(Ends { times: (*first_time, *last_time), count: *count, first, last }),
            What::Samples => Read::Samples(&self.samples),
        }
    }
}

/// What a worker read of a block of items, in little memory.
#[derive(Default)]
pub(super) struct ReadBlock {
    items: Vec<InBlock>,
    /// Of all ends, first row and last row in turn.
    values: Vec<f64>,
}

enum InBlock {
    Ends { times: (i64, i64), count: usize, width: usize },
    Other(Box<Reader>),
}

impl ReadBlock {
    pub(super) fn read(evaluator: &Evaluator<'_>, sum: &RateSum<'_, '_>, items: &[Item]) -> Result<Self> {
        let mut block = Self::default();
        block.items.reserve_exact(items.len());
        let mut reader = Reader::default();
        for (index, item) in items.iter().enumerate() {
            touch_next(items, index);
            reader.read_item(evaluator, sum, item)?;
            block.items.push(match reader.read() {
                Read::Ends(Ends { times, count, first, last }) => {
                    block.values.extend_from_slice(first);
                    block.values.extend_from_slice(last);
                    InBlock::Ends { times, count, width: first.len() }
                }
                Read::Rows(_) | Read::Samples(_) => InBlock::Other(Box::new(std::mem::take(&mut reader))),
            });
        }
        Ok(block)
    }

    /// What was read of each item.
    pub(super) fn iter(&self) -> impl Iterator<Item = Read<'_>> {
        let mut values = self.values.as_slice();
        self.items.iter().map(move |item| match item {
            InBlock::Ends { times, count, width } => {
                let (first, rest) = values.split_at_checked(*width).unwrap_or_default();
                let (last, rest) = rest.split_at_checked(*width).unwrap_or_default();
                values = rest;
                Read::Ends(Ends { times: *times, count: *count, first, last })
            }
            InBlock::Other(reader) => reader.read(),
        })
    }
}
