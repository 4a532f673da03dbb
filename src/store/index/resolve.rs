//! Matchers to items.

use std::borrow::Cow;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::chunk::Column;
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{MatchOp, Matcher};

use super::super::sync::RwLock;
use super::postings::{LabelLists, NamePostings};
use super::{Index, Item};

/// Up to this many candidates a pattern is tried on their own values instead of on the dictionary.
const FEW: u64 = 64;

/// Items with labels: of the index, or of a segment. `None`: what is in a segment does not decode.
pub(crate) trait Items {
    /// How many items there are.
    fn count(&self) -> u32;

    /// Of these items, those whose own value the matcher accepts.
    fn accepted_by_own_values(&self, items: &RoaringBitmap, matcher: &Matcher) -> Option<RoaringBitmap>;
}

/// The items that matchers select. For a family the columns are still to be chosen: see [`accepts_column`].
pub(crate) struct Selection<'a> {
    matchers: &'a [Matcher],
    pub(crate) items: Vec<(u32, Item)>,
}

impl<'a> Selection<'a> {
    /// Resolves matchers. The index is locked only for moments in which postings and items are fetched, never
    /// while a pattern runs.
    pub(crate) fn resolve(index: &RwLock<Index>, matchers: &'a [Matcher]) -> Self {
        let postings: Vec<(&Matcher, Option<Arc<NamePostings>>)>;
        let families: Arc<RoaringBitmap>;
        {
            let index = index.read();
            postings = matchers.iter().map(|m| (m, index.postings.get(m.name()).cloned())).collect();
            families = index.families.clone();
        }
        let candidates = candidates(index, &postings, &families).unwrap_or_default();
        let locked = index.read();
        let items = candidates.iter().filter_map(|item| Some((item, locked.item(item)?.to_item()))).collect();
        Self { matchers, items }
    }

    /// Whether a family's column is selected; the other labels have been matched already.
    pub(crate) fn accepts_column(&self, base: &str, column: &Column) -> bool {
        accepts_column(self.matchers, base, column)
    }

    /// Whether a matcher looks at bucket bounds.
    pub(crate) fn looks_at_bounds(&self) -> bool {
        self.matchers.iter().any(|matcher| matcher.name() == BUCKET_BOUND)
    }
}

/// Whether matchers accept a column of a family with this base name; the other labels have been matched already.
pub(crate) fn accepts_column(matchers: &[Matcher], base: &str, column: &Column) -> bool {
    let bound = match column {
        Column::Bucket(bound) => bound,
        Column::Count | Column::Sum => "",
    };
    matchers.iter().all(|matcher| match matcher.name() {
        METRIC_NAME if matcher.op() == MatchOp::Equal => {
            let (base, suffix) = (base.as_bytes(), column.suffix().as_bytes());
            matcher.value().strip_suffix(suffix) == Some(base)
        }
        METRIC_NAME => matcher.matches(&super::column_name(base, column)),
        BUCKET_BOUND => matcher.matches(bound),
        _ => true,
    })
}

/// A superset of the selected items: exact but for a family's name and bounds, which are virtual.
pub(crate) fn candidates<I: Items, L: LabelLists>(
    items: &I,
    postings: &[(&Matcher, Option<L>)],
    families: &RoaringBitmap,
) -> Option<RoaringBitmap> {
    let (including, excluding): (Vec<_>, Vec<_>) =
        postings.iter().partition(|(matcher, _)| !matcher.matches(""));
    let (equal, mut patterns): (Vec<_>, Vec<_>) =
        including.into_iter().partition(|(matcher, _)| matcher.op() == MatchOp::Equal);

    // The smallest lists first: the intersection ends early when it is empty. A family's bound is in no list.
    let mut lists = Vec::with_capacity(equal.len());
    for (matcher, postings) in equal.iter().filter(|(matcher, _)| matcher.name() != BUCKET_BOUND) {
        let list = match postings {
            Some(postings) => postings.equal(matcher.value())?,
            None => None,
        };
        match list {
            Some(list) => lists.push(list),
            None => return Some(RoaringBitmap::new()),
        }
    }
    lists.sort_by_cached_key(|list: &Cow<'_, RoaringBitmap>| list.len());
    let mut candidates: Option<RoaringBitmap> = None;
    if let Some((smallest, others)) = lists.split_first() {
        let mut all = (**smallest).clone();
        for list in others {
            all &= &**list;
        }
        if all.is_empty() {
            return Some(all);
        }
        candidates = Some(all);
    }
    let narrow = |candidates: &mut Option<RoaringBitmap>, accepted: RoaringBitmap| match candidates {
        Some(candidates) => *candidates &= accepted,
        None => *candidates = Some(accepted),
    };
    for (matcher, postings) in equal.iter().filter(|(matcher, _)| matcher.name() == BUCKET_BOUND) {
        narrow(&mut candidates, accepted(matcher, postings.as_ref(), families)?);
    }
    patterns
        .sort_by_cached_key(|(_, postings)| postings.as_ref().map_or(0, |postings| postings.value_count()));
    for (matcher, postings) in &patterns {
        let dictionary = postings.as_ref().map_or(0, |postings| postings.value_count() as u64);
        let few = candidates
            .as_ref()
            .filter(|candidates| candidates.len() < FEW || candidates.len() < dictionary / 8);
        let is_virtual = matches!(matcher.name(), METRIC_NAME | BUCKET_BOUND);
        match few {
            Some(few) if !is_virtual => {
                candidates = Some(items.accepted_by_own_values(few, matcher)?);
            }
            _ => narrow(&mut candidates, accepted(matcher, postings.as_ref(), families)?),
        }
    }
    let mut candidates = candidates.unwrap_or_else(|| {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..items.count());
        all
    });
    for (matcher, postings) in excluding {
        let Some(postings) = postings else { continue };
        let mut refused = postings.refused(matcher)?;
        if matches!(matcher.name(), METRIC_NAME | BUCKET_BOUND) {
            refused -= families;
        }
        candidates -= refused;
    }
    Some(candidates)
}

fn accepted<L: LabelLists>(
    matcher: &Matcher,
    postings: Option<&L>,
    families: &RoaringBitmap,
) -> Option<RoaringBitmap> {
    let accepted = match postings {
        Some(postings) => postings.accepted(matcher)?,
        None => RoaringBitmap::new(),
    };
    // Bounds of families are not in the postings: their columns are chosen one by one.
    Some(if matcher.name() == BUCKET_BOUND { accepted | families } else { accepted })
}

impl Items for RwLock<Index> {
    fn count(&self) -> u32 {
        u32::try_from(self.read().items.len()).unwrap_or(u32::MAX)
    }

    fn accepted_by_own_values(&self, items: &RoaringBitmap, matcher: &Matcher) -> Option<RoaringBitmap> {
        let own: Vec<(u32, Item)> = {
            let index = self.read();
            items.iter().filter_map(|item| Some((item, index.item(item)?.to_item()))).collect()
        };
        let accepted = own.iter().filter(|(_, item)| {
            let (Item::Single(labels) | Item::Family { labels, .. }) = item;
            matcher.accepts(labels)
        });
        Some(accepted.map(|(item, _)| *item).collect())
    }
}
