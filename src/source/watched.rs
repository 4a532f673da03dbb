//! What is missing where somebody looks.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{SelectRequest, SeriesSet, Source};
use crate::error::Result;
use crate::model::{Loss, Matcher, SeriesExemplars, Window};

/// A source that notes what is missing of the series and in the windows that it is asked for: whatever offsets, ranges,
/// lookback and subqueries make of them.
pub(crate) struct Watched<'a> {
    source: &'a dyn Source,
    losses: Mutex<Vec<Loss>>,
    /// Which series were asked for, each set of matchers once.
    asked: Mutex<Vec<Vec<Matcher>>>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> Self {
        Self { source, losses: Mutex::default(), asked: Mutex::default() }
    }

    /// What was missing, each loss once.
    pub(crate) fn into_losses(self) -> Vec<Loss> {
        self.losses.into_inner()
    }

    /// What is missing within a window of the series that were asked for, whatever the windows were.
    pub(crate) fn losses_within(&self, window: Window) -> Vec<Loss> {
        let asked = self.asked.lock();
        asked
            .iter()
            .flat_map(|matchers| self.source.losses_of(&SelectRequest::new(matchers, window)))
            .collect()
    }

    fn note(&self, request: &SelectRequest<'_>) {
        let mut asked = self.asked.lock();
        if !asked.iter().any(|known| is_same(known, request.matchers)) {
            asked.push(request.matchers.to_vec());
        }
        drop(asked);
        let found = self.source.losses_of(request);
        if found.is_empty() {
            return;
        }
        let mut losses = self.losses.lock();
        for loss in found {
            if !losses.contains(&loss) {
                losses.push(loss);
            }
        }
    }
}

fn is_same(a: &[Matcher], b: &[Matcher]) -> bool {
    let same =
        |(a, b): (&Matcher, &Matcher)| a.op() == b.op() && a.name() == b.name() && a.value() == b.value();
    a.len() == b.len() && a.iter().zip(b).all(same)
}

impl Source for Watched<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        self.note(request);
        self.source.select(request)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        self.note(&SelectRequest::new(matchers, window));
        self.source.label_values(name, matchers, window)
    }

    fn losses(&self, window: Window) -> Vec<Loss> {
        self.source.losses(window)
    }

    fn losses_of(&self, request: &SelectRequest<'_>) -> Vec<Loss> {
        self.source.losses_of(request)
    }

    fn exemplars(&self, matchers: &[Matcher], window: Window) -> Result<Vec<SeriesExemplars>> {
        self.source.exemplars(matchers, window)
    }
}
