//! Which matcher of a selector is at fault.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::Result;
use crate::gate::evidence::select;
use crate::gate::reason::Finding;
use crate::gate::spec::Selector;
use crate::model::{Matcher, Timestamp, Window, nearest};
use crate::source::Source;

/// Why no series match the selector up to `now`: index look-ups only.
///
/// The smallest set of matchers whose removal yields series is at fault, of several the one that yields fewest.
pub(crate) fn diagnose_selector(source: &dyn Source, selector: &Selector, now: Timestamp) -> Result<Finding> {
    let text = selector.text.clone();
    let (name, others): (Vec<&Matcher>, Vec<&Matcher>) =
        selector.matchers.iter().partition(|matcher| matcher.name() == "__name__");
    let name: Vec<Matcher> = name.into_iter().cloned().collect();
    if !name.is_empty() && select(source, &Selector::of(name.clone()), now)?.is_empty() {
        let metric = selector.metric().unwrap_or("").to_owned();
        let suggestions = nearest_metrics(source, &metric, now)?;
        return Ok(Finding::NoSuchMetric { selector: text, name: metric, suggestions });
    }
    let count_without = |left_out: &[usize]| -> Result<usize> {
        let kept = others.iter().enumerate().filter(|(index, _)| !left_out.contains(index));
        let matchers = name.iter().cloned().chain(kept.map(|(_, matcher)| (*matcher).clone())).collect();
        Ok(select(source, &Selector::of(matchers), now)?.len())
    };
    let window = Window::new(Timestamp::MIN, now);
    let mut culprits = Vec::new();
    for (index, matcher) in others.iter().enumerate() {
        let series = count_without(&[index])?;
        if series > 0 {
            let elsewhere = source
                .label_values(matcher.name(), &name, window)?
                .iter()
                .any(|value| matcher.matches(value));
            culprits.push(Culprit { index, series, elsewhere });
        }
    }
    // A value that the metric has nowhere is at fault before one that is only badly combined.
    culprits.sort_by_key(|culprit| (culprit.elsewhere, culprit.series));
    if culprits.is_empty() {
        // Pairs of very many matchers would cost more than they tell.
        let few = others.len().min(12);
        let mut best: Option<(usize, usize)> = None;
        for first in 0..few {
            for second in first.saturating_add(1)..few {
                let series = count_without(&[first, second])?;
                if series > 0 && best.is_none_or(|(fewest, _)| series < fewest) {
                    best = Some((series, first));
                }
            }
        }
        // Of a pair the first is told; mending it brings the other to light.
        if let Some((series, index)) = best {
            culprits.push(Culprit { index, series, elsewhere: false });
        }
    }
    if let [culprit, instead @ ..] = culprits.as_slice() {
        return Diagnosis { source, selector, name: &name, others: &others, now }.finding(culprit, instead);
    }
    let matchers = selector.matchers.iter().map(ToString::to_string).collect();
    Ok(Finding::MatchersExcludeEachOther { selector: text, matchers })
}

/// A matcher without which series match.
struct Culprit {
    index: usize,
    /// How many series match without it.
    series: usize,
    /// Whether the metric has a value that the matcher accepts.
    elsewhere: bool,
}

struct Diagnosis<'a> {
    source: &'a dyn Source,
    selector: &'a Selector,
    /// The matchers of the metric's name.
    name: &'a [Matcher],
    others: &'a [&'a Matcher],
    now: Timestamp,
}

impl Diagnosis<'_> {
    fn finding(&self, culprit: &Culprit, instead: &[Culprit]) -> Result<Finding> {
        let window = Window::new(Timestamp::MIN, self.now);
        let metric = self.selector.metric().unwrap_or("").to_owned();
        let Some(matcher) = self.others.get(culprit.index) else {
            let matchers = self.selector.matchers.iter().map(ToString::to_string).collect();
            return Ok(Finding::MatchersExcludeEachOther { selector: self.selector.text.clone(), matchers });
        };
        let label = matcher.name().to_owned();
        let value = String::from_utf8_lossy(matcher.value()).into_owned();
        let all = self.source.label_values(&label, self.name, window)?;
        if all.is_empty() {
            let of_metric = Selector::of(self.name.to_vec());
            let mut carriers = BTreeSet::new();
            for series in select(self.source, &of_metric, self.now)? {
                let labels = series
                    .labels()
                    .iter()
                    .filter(|other| *other.value == *value && &*other.name != "__name__");
                carriers.extend(labels.map(|other| other.name.to_string()));
            }
            return Ok(Finding::NoSuchLabel {
                selector: self.selector.text.clone(),
                metric,
                matcher: matcher.to_string(),
                suggestions: nearest_labels(self.source, &of_metric, &label, self.now)?,
                label,
                carriers: carriers.into_iter().take(3).collect(),
            });
        }
        let suggestions = self.beside(culprit.index)?;
        let mut alternatives = Vec::new();
        if culprit.elsewhere {
            for other in instead.iter().take(2) {
                if let Some(matcher) = self.others.get(other.index) {
                    let names: Vec<String> =
                        self.beside(other.index)?.iter().map(|value| format!("`{value}`")).collect();
                    alternatives.push(format!("instead of `{matcher}` there is {}", names.join(", ")));
                }
            }
        }
        let suggestions = if suggestions.is_empty() { nearest::values(&value, &all) } else { suggestions };
        Ok(Finding::NoSuchValue {
            selector: self.selector.text.clone(),
            metric,
            matcher: matcher.to_string(),
            label,
            value,
            suggestions,
            series: culprit.series,
            elsewhere: culprit.elsewhere,
            instead: alternatives,
        })
    }

    /// The values that a matcher's label has on the series that all other matchers accept, nearest first.
    fn beside(&self, index: usize) -> Result<Vec<String>> {
        let Some(culprit) = self.others.get(index) else { return Ok(Vec::new()) };
        let rest = self
            .others
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != index)
            .map(|(_, matcher)| (*matcher).clone());
        let matchers: Vec<Matcher> = self.name.iter().cloned().chain(rest).collect();
        let window = Window::new(Timestamp::MIN, self.now);
        let values = self.source.label_values(culprit.name(), &matchers, window)?;
        Ok(nearest::values(&String::from_utf8_lossy(culprit.value()), &values))
    }
}

/// Metric names near `wanted`.
pub(crate) fn nearest_metrics(source: &dyn Source, wanted: &str, now: Timestamp) -> Result<Vec<String>> {
    let all = source.label_values("__name__", &[], Window::new(Timestamp::MIN, now))?;
    Ok(nearest::names(wanted, &all))
}

/// Label names near `wanted` on the series of a selector.
pub(crate) fn nearest_labels(
    source: &dyn Source,
    selector: &Selector,
    wanted: &str,
    now: Timestamp,
) -> Result<Vec<String>> {
    let mut labels: BTreeSet<Arc<str>> = BTreeSet::new();
    for series in select(source, selector, now)? {
        labels.extend(
            series.labels().iter().map(|label| label.name.clone()).filter(|name| &**name != "__name__"),
        );
    }
    let labels: Vec<Arc<str>> = labels.into_iter().collect();
    Ok(nearest::names(wanted, &labels))
}

#[cfg(test)]
mod tests;
