//! `info`: labels of info series added to the samples of the same instance and job.

use hashbrown::{HashMap, HashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, MatchOp, Matcher};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Info, InstantSelector, Reading};
use crate::promql::text_range::TextRange;

use super::Evaluator;
use super::column::Column;
use super::unique::merge_equal;
use super::vector::{Vector, VectorSeries};

/// The labels by which a sample and its info series find each other; empty ones are missing.
const IDENTITY: [&str; 2] = ["instance", "job"];
const DEFAULT_INFO_METRIC: &str = "target_info";
const INFO_METRIC_PATTERN: &str = ".+_info";

type Identity = [String; 2];

fn identity(labels: &Labels) -> Identity {
    IDENTITY.map(|name| labels.get(name).unwrap_or("").to_owned())
}

/// Info series and the times of their samples.
struct InfoSeries {
    /// Which metric name and identity it has, as a number.
    key: usize,
    identity: Identity,
    series: VectorSeries,
}

impl Evaluator<'_> {
    pub(crate) fn info(
        &self,
        info: &Info<'_>,
        base: Vector,
        steps: Steps,
        range: TextRange,
    ) -> Result<Vector> {
        let (mut names, data): (Vec<Matcher>, Vec<Matcher>) =
            info.matchers.iter().cloned().partition(|matcher| matcher.name() == METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, DEFAULT_INFO_METRIC));
        } else if names.iter().all(|name| matches!(name.op(), MatchOp::NotEqual | MatchOp::NotMatches)) {
            names.push(Matcher::new(METRIC_NAME, MatchOp::Matches, INFO_METRIC_PATTERN)?);
        }
        let is_info = |labels: &Labels| names.iter().all(|name| name.matches(labels.metric_name()));
        let identities: HashSet<Identity> = base
            .series
            .iter()
            .filter(|series| !is_info(&series.labels))
            .map(|series| identity(&series.labels))
            .filter(|identity| identity.iter().any(|value| !value.is_empty()))
            .collect();
        let matchers: Vec<Matcher> = names.iter().chain(&data).cloned().collect();
        let infos = self.info_series(info, &matchers, &identities, steps, range)?;
        let wanted: Vec<&str> = data.iter().map(Matcher::name).collect();
        let optional = data.iter().all(|matcher| matcher.matches(""));
        let mut output = Outputs::new(steps, &wanted);
        let keys = infos.iter().map(|info| info.key).max().map_or(0, |key| key.saturating_add(1));
        let mut best: Vec<Option<usize>> = vec![None; keys];
        let mut by_identity: HashMap<&Identity, Vec<usize>> = HashMap::new();
        for (index, info) in infos.iter().enumerate() {
            by_identity.entry(&info.identity).or_default().push(index);
        }
        let of_base: Vec<Vec<usize>> = base
            .series
            .iter()
            .map(|series| match is_info(&series.labels) {
                true => Vec::new(),
                false => by_identity.get(&identity(&series.labels)).cloned().unwrap_or_default(),
            })
            .collect();
        for step in 0..steps.count() {
            self.budget.tick(base.series.len())?;
            choose(&infos, step, &mut best)?;
            for (index, (series, candidates)) in base.series.iter().zip(&of_base).enumerate() {
                if !series.column.is_present(step) {
                    continue;
                }
                let chosen: Vec<usize> = candidates
                    .iter()
                    .copied()
                    .filter(|at| {
                        let key = infos.get(*at).map(|info| info.key);
                        key.and_then(|key| best.get(key).copied().flatten()) == Some(*at)
                    })
                    .collect();
                if chosen.is_empty() && !optional && !is_info(&series.labels) {
                    continue;
                }
                output.add(step, index, series, &chosen, &infos)?;
            }
        }
        let mut vector = Vector::new(&self.budget);
        for series in output.series {
            self.budget.make_labels(series.labels.iter().map(|label| label.value.len()).sum())?;
            vector.push(series)?;
        }
        merge_equal(vector, true)
    }

    /// The info series of these identities, with sample times as values.
    fn info_series(
        &self,
        info: &Info<'_>,
        matchers: &[Matcher],
        identities: &HashSet<Identity>,
        steps: Steps,
        range: TextRange,
    ) -> Result<Vec<InfoSeries>> {
        if identities.is_empty() {
            return Ok(Vec::new());
        }
        let selector = InstantSelector {
            matchers,
            reference: info.reference,
            smoothed: false,
            reading: Reading::Value,
            statistics: false,
        };
        for series in self.instant_selector(&selector, steps, range)?.series {
            if identities.contains(&identity(&series.labels)) && series.column.histograms().next().is_some() {
                let text = format!("this should be an info metric, with float samples: {}", series.labels);
                return Err(Error::new(ErrorKind::Query, text));
            }
        }
        let times =
            self.instant_selector(&InstantSelector { reading: Reading::Time, ..selector }, steps, range)?;
        let mut keys: HashMap<(String, Identity), usize> = HashMap::new();
        let mut infos = Vec::new();
        for series in &times.series {
            let identity = identity(&series.labels);
            if identities.contains(&identity) {
                let next = keys.len();
                let name = series.labels.metric_name().to_owned();
                let key = *keys.entry((name, identity.clone())).or_insert(next);
                infos.push(InfoSeries { key, identity, series: series.clone() });
            }
        }
        Ok(infos)
    }
}

/// For every metric name and identity the info series with the newest sample at a step.
fn choose(infos: &[InfoSeries], step: usize, best: &mut [Option<usize>]) -> Result<()> {
    best.fill(None);
    for (index, info) in infos.iter().enumerate() {
        let (Some(time), Some(slot)) = (info.series.column.float(step), best.get_mut(info.key)) else {
            continue;
        };
        let known = slot
            .and_then(|at| infos.get(at))
            .and_then(|known| Some((known.series.column.float(step)?, &known.series.labels)));
        match known {
            Some((known_time, labels)) if known_time == time => {
                let millis = (time * 1000.0).round() as i64;
                let text = format!(
                    "found duplicate series for info metric: existing {labels} @ {millis}, new {} @ {millis}",
                    info.series.labels
                );
                return Err(Error::new(ErrorKind::Query, text));
            }
            Some((known_time, _)) if known_time > time => {}
            _ => *slot = Some(index),
        }
    }
    Ok(())
}

/// Series under their new labels.
struct Outputs<'a> {
    steps: Steps,
    /// Labels to take; all if empty.
    wanted: &'a [&'a str],
    series: Vec<VectorSeries>,
    /// By base series and the info series that it took labels from.
    places: HashMap<(usize, Vec<usize>), usize>,
}

impl<'a> Outputs<'a> {
    fn new(steps: Steps, wanted: &'a [&'a str]) -> Self {
        Self { steps, wanted, series: Vec::new(), places: HashMap::new() }
    }

    /// Adds the sample of a base series at a step.
    fn add(
        &mut self,
        step: usize,
        index: usize,
        base: &VectorSeries,
        chosen: &[usize],
        infos: &[InfoSeries],
    ) -> Result<()> {
        let key = (index, chosen.to_vec());
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                let labels = self.labels(&base.labels, chosen, infos)?;
                let column = Column::absent(self.steps.count());
                self.series.push(VectorSeries { labels, drop_name: base.drop_name, column });
                let place = self.series.len().saturating_sub(1);
                self.places.insert(key, place);
                place
            }
        };
        if let Some(series) = self.series.get_mut(place) {
            series.column.copy_sample(step, &base.column, step);
        }
        Ok(())
    }

    /// The labels of a base series with those of its info series.
    fn labels(&self, base: &Labels, chosen: &[usize], infos: &[InfoSeries]) -> Result<Labels> {
        let mut builder = LabelsBuilder::from_labels(base);
        let mut taken: HashMap<&str, &str> = HashMap::new();
        for info in chosen.iter().filter_map(|at| infos.get(*at)) {
            for label in &info.series.labels {
                let asked = self.wanted.is_empty() || self.wanted.contains(&&*label.name);
                if &*label.name == METRIC_NAME || !asked || base.get(&label.name).is_some() {
                    continue;
                }
                match taken.insert(&label.name, &label.value) {
                    Some(known) if known != &*label.value => {
                        return Err(Error::new(
                            ErrorKind::Query,
                            format!("conflicting label: {}", label.name),
                        ));
                    }
                    _ => builder.set(label.name.clone(), label.value.clone()),
                };
            }
        }
        Ok(builder.build())
    }
}
