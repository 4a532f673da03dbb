//! From the analyses of a rollout to gates.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::refused;
use super::spec::{ArgumentValue, CanaryStep, RolloutAnalysis, RolloutSpec};
use super::state::{RolloutRun, RunPurpose};
use crate::error::Result;
use crate::gate::argo::{
    AnalysisRun, AnalysisTemplate, Argument, Profile, TemplateKind, TemplateReference, TemplateSpec, flatten,
};
use crate::gate::run::Gate;
use crate::gate::spec::GateSpec;
use crate::gate::state::GateState;
use crate::model::Timestamp;

/// How the analyses of a rollout become gates.
#[derive(Clone, Debug)]
pub struct RolloutGates {
    templates: Vec<AnalysisTemplate>,
    /// As Argo decides; none: by evidence.
    profile: Option<Profile>,
    /// Gates that stand for a template.
    gates: BTreeMap<String, GateSpec>,
}

/// What a run is made of.
enum Made {
    Native(GateSpec),
    Strict(AnalysisTemplate, Vec<Argument>, Profile),
}

impl RolloutGates {
    /// Every analysis is an analysis run of these templates, decided as Argo Rollouts decides it.
    pub fn strict(templates: Vec<AnalysisTemplate>, profile: Profile) -> Self {
        Self { templates, profile: Some(profile), gates: BTreeMap::new() }
    }

    /// Every analysis is a gate that decides by evidence, made of these templates as
    /// [`GateSpec::from_template`](crate::GateSpec::from_template) makes it.
    pub fn native(templates: Vec<AnalysisTemplate>) -> Self {
        Self { templates, profile: None, gates: BTreeMap::new() }
    }

    /// The same with a gate in the place of the template with this name. Its arguments are filled in; the template need not
    /// exist, and is the only one of its analysis.
    #[must_use]
    pub fn with_gate(mut self, template: &str, gate: GateSpec) -> Self {
        self.gates.insert(template.to_owned(), gate);
        self
    }

    /// Refuses what a rollout could only find out on its way: templates that are missing or make no run, and runs of a
    /// step that never end. Answers whether the background analysis has an end of its own.
    pub(super) fn check(&self, spec: &RolloutSpec) -> Result<bool> {
        let steps = spec.canary.steps.iter().enumerate().filter_map(|(index, step)| match step {
            CanaryStep::Analysis(analysis) => Some((format!("steps[{index}]"), analysis)),
            _ => None,
        });
        let switch = spec.blue_green.iter().flat_map(|strategy| {
            let before = ("prePromotionAnalysis".to_owned(), strategy.pre_promotion_analysis.as_ref());
            let after = ("postPromotionAnalysis".to_owned(), strategy.post_promotion_analysis.as_ref());
            [before, after].into_iter().filter_map(|(place, analysis)| Some((place, analysis?)))
        });
        for (place, analysis) in steps.chain(switch) {
            let endless = self.check_one(analysis).map_err(|error| {
                refused(format!("rollout `{}`, {place}: {error}", spec.name)).caused_by(error)
            })?;
            if let Some(metric) = endless {
                return Err(refused(format!(
                    "rollout `{}`, {place}: metric {metric} runs indefinitely, so the rollout would never go on; \
                     give it a count, or move it to a background analysis",
                    spec.name
                )));
            }
        }
        let Some(background) = &spec.canary.background else { return Ok(true) };
        if background.analysis.templates.is_empty() {
            return Ok(true);
        }
        let endless = self.check_one(&background.analysis).map_err(|error| {
            refused(format!("rollout `{}`, background analysis: {error}", spec.name)).caused_by(error)
        })?;
        // A gate that decides by evidence comes to a verdict.
        Ok(endless.is_none() || self.profile.is_none())
    }

    /// The name of a metric that has no end.
    fn check_one(&self, analysis: &RolloutAnalysis) -> Result<Option<String>> {
        if matches!(self.make("check", analysis, "latest", "stable")?, Made::Native(_))
            && self.gate_of(analysis)?.is_some()
        {
            return Ok(None);
        }
        let (template, arguments) = self.template("check", analysis, "latest", "stable")?;
        let mut run = AnalysisRun::new(&template.spec, &arguments, self.profile.unwrap_or_default())?;
        run.start(Timestamp::from_millis(0));
        if run.is_completed() {
            return Err(refused(run.status().message.clone()));
        }
        let endless = run.metrics().iter().find(|metric| metric.effective_count().is_none());
        Ok(endless.map(|metric| metric.name.clone()))
    }

    /// The gate of a run, not started.
    pub(super) fn build(&self, spec: &RolloutSpec, run: &RolloutRun) -> Result<Gate> {
        match self.made(spec, run)? {
            Made::Native(spec) => Ok(Gate::new(spec)),
            Made::Strict(template, arguments, profile) => {
                Gate::from_argo(&template, &pairs(&arguments), profile)
            }
        }
    }

    /// The gate of a run, going on from its state.
    pub(super) fn resume(&self, spec: &RolloutSpec, run: &RolloutRun, state: GateState) -> Result<Gate> {
        match self.made(spec, run)? {
            Made::Native(spec) => Gate::resume(spec, state),
            Made::Strict(template, arguments, profile) => {
                Gate::resume_argo(&template, &pairs(&arguments), profile, state)
            }
        }
    }

    fn made(&self, spec: &RolloutSpec, run: &RolloutRun) -> Result<Made> {
        let Some(analysis) = spec.analysis(run.purpose) else {
            return Err(refused(format!("rollout `{}` has no analysis for run `{}`", spec.name, run.name)));
        };
        Ok(match self.make(&run.name, analysis, &run.version, &run.stable)? {
            // It stands beside the steps until they are done.
            Made::Native(spec) if run.purpose == RunPurpose::Background => Made::Native(spec.watching()),
            made => made,
        })
    }

    fn make(&self, name: &str, analysis: &RolloutAnalysis, latest: &str, stable: &str) -> Result<Made> {
        if let Some(gate) = self.gate_of(analysis)? {
            return Ok(Made::Native(gate.clone()));
        }
        let (template, arguments) = self.template(name, analysis, latest, stable)?;
        match self.profile {
            Some(profile) => Ok(Made::Strict(template, arguments, profile)),
            None => Ok(Made::Native(GateSpec::from_template(&template, &arguments)?)),
        }
    }

    /// The templates of an analysis as one, and its arguments.
    fn template(
        &self,
        name: &str,
        analysis: &RolloutAnalysis,
        latest: &str,
        stable: &str,
    ) -> Result<(AnalysisTemplate, Vec<Argument>)> {
        let arguments: Vec<Argument> = analysis
            .args
            .iter()
            .map(|argument| {
                let value = match &argument.value {
                    ArgumentValue::Text(text) => text,
                    ArgumentValue::LatestVersion => latest,
                    ArgumentValue::StableVersion => stable,
                };
                Argument::new(argument.name.as_str(), value)
            })
            .collect();
        let collected = self.collect(&analysis.templates)?;
        let template = AnalysisTemplate {
            kind: TemplateKind::Namespaced,
            name: name.to_owned(),
            annotations: collected.iter().flat_map(|template| template.annotations.clone()).collect(),
            spec: self.flat(analysis)?,
        };
        Ok((template, arguments))
    }

    /// The gate that stands for the one template of an analysis.
    fn gate_of(&self, analysis: &RolloutAnalysis) -> Result<Option<&GateSpec>> {
        let given = |reference: &TemplateReference| self.gates.get(&reference.template_name);
        match analysis.templates.as_slice() {
            [only] => Ok(given(only)),
            several => match several.iter().find(|reference| given(reference).is_some()) {
                Some(replaced) => Err(refused(format!(
                    "a gate stands for template `{}`, which has to be the only one of its analysis then",
                    replaced.template_name
                ))),
                None => Ok(None),
            },
        }
    }

    /// The templates of an analysis as one spec, the rollout's own rules first.
    fn flat(&self, analysis: &RolloutAnalysis) -> Result<TemplateSpec> {
        let mut spec = flatten(&self.collect(&analysis.templates)?).map_err(refused)?;
        spec.dry_run.splice(0..0, analysis.dry_run.iter().cloned());
        spec.measurement_retention.splice(0..0, analysis.measurement_retention.iter().cloned());
        Ok(spec)
    }

    /// The templates referred to and those they refer to in turn, depth first, each once.
    fn collect(&self, references: &[TemplateReference]) -> Result<Vec<AnalysisTemplate>> {
        let mut collected = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<&TemplateReference> = references.iter().rev().collect();
        while let Some(reference) = open.pop() {
            if !seen.insert((reference.cluster_scope, reference.template_name.as_str())) {
                continue;
            }
            let kind = if reference.cluster_scope { TemplateKind::Cluster } else { TemplateKind::Namespaced };
            let known = |template: &&AnalysisTemplate| {
                template.kind == kind && template.name == reference.template_name
            };
            let Some(template) = self.templates.iter().find(known) else {
                let kind =
                    if reference.cluster_scope { "ClusterAnalysisTemplate" } else { "AnalysisTemplate" };
                return Err(refused(format!("{kind} '{}' not found", reference.template_name)));
            };
            open.extend(template.spec.templates.iter().rev());
            collected.push(template.clone());
        }
        Ok(collected)
    }
}

fn pairs(arguments: &[Argument]) -> Vec<(&str, &str)> {
    let pairs = arguments.iter().map(|argument| (argument.name.as_str(), argument.value.as_deref()));
    pairs.filter_map(|(name, value)| Some((name, value?))).collect()
}
