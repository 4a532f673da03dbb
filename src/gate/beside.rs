//! Strict mode beside a native gate: what Argo would have said of the same canary, which decides nothing.

use super::argo::{AnalysisTemplate, Argument, Profile};
use super::spec::GateSpec;
use super::state::{GateFields, GateState};
use super::strict::StrictGate;
use crate::error::Result;

/// The template whose strict gate runs beside.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    template: AnalysisTemplate,
    args: Vec<Argument>,
    profile: Profile,
}

impl Beside {
    fn args(&self) -> Vec<(&str, &str)> {
        let pairs = self.args.iter().map(|argument| (argument.name.as_str(), argument.value.as_deref()));
        pairs.filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The strict gate, not started.
    pub(crate) fn gate(&self) -> Result<Box<StrictGate>> {
        StrictGate::new(&self.template, &self.args(), self.profile).map(Box::new)
    }

    /// The strict gate of a state. None for a state that has none, or another: half a run would say what Argo would not have said.
    pub(crate) fn resume(&self, state: Option<Box<GateFields>>) -> Option<Box<StrictGate>> {
        let state = GateState(*state?);
        StrictGate::resume(&self.template, &self.args(), self.profile, state).ok().map(Box::new)
    }
}

impl GateSpec {
    /// The same gate, whose report carries beside it what strict mode says of this template
    /// ([`Report::strict`](super::Report::strict)): "Argo would have said Failed". It decides nothing, and is no part of what tells one
    /// specification from another; it shows what moving from Argo's rules to evidence changes. Of a template itself the annotation
    /// `promgate.dev/native` asks for it with `argo: on`.
    ///
    /// The template is measured at its own times, which are due times of the gate as well, and stops when the gate is settled. A gate
    /// that resumes from a state without it goes on without it.
    ///
    /// # Errors
    ///
    /// As [`Gate::from_argo`](super::Gate::from_argo).
    pub fn beside_argo(
        mut self,
        template: &AnalysisTemplate,
        args: &[(&str, &str)],
        profile: Profile,
    ) -> Result<Self> {
        let args = args.iter().map(|(name, value)| Argument::new(*name, *value)).collect();
        let beside = Beside { template: template.clone(), args, profile };
        beside.gate()?;
        self.beside = Some(Box::new(beside));
        Ok(self)
    }
}

#[cfg(test)]
#[cfg(feature = "argo")]
mod tests;
