//! Runs gates over a recording, as a controller would have run them live.

use std::path::Path;

use promgate::argo::{AnalysisTemplate, Argument, Profile};
use promgate::{Gate, GateFile, GateSpec, Report};

use crate::failure::Failure;
use crate::recording::Recorded;

/// What the recordings are judged by.
pub(crate) struct Rules {
    template: Option<(String, String)>,
    gate: Option<(String, String)>,
    /// Whether the template is judged by its evidence, too.
    by_evidence: bool,
}

/// What the rules say.
#[derive(Clone)]
pub(crate) struct Judgement {
    pub(crate) strict: Option<Report>,
    pub(crate) native: Option<Report>,
}

impl Judgement {
    /// The report whose verdict counts.
    pub(crate) fn deciding(&self) -> Option<&Report> {
        self.native.as_ref().or(self.strict.as_ref())
    }
}

impl Rules {
    pub(crate) fn read(
        template: Option<&Path>,
        gate: Option<&Path>,
        by_evidence: bool,
    ) -> Result<Self, Failure> {
        let read = |path: Option<&Path>| {
            let Some(path) = path else { return Ok(None) };
            let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidData => Failure::data(path, "not UTF-8"),
                _ => Failure::io(path, error),
            })?;
            Ok(Some((path.display().to_string(), text)))
        };
        Ok(Self { template: read(template)?, gate: read(gate)?, by_evidence })
    }

    pub(crate) fn judge(
        &self,
        recorded: &Recorded,
        given: &[(String, String)],
    ) -> Result<Judgement, Failure> {
        // What is given on the command line stands before what the recording knows.
        let value = |name: &str| {
            let mut known = given.iter().rev().chain(&recorded.args);
            known.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let mut judgement = Judgement { strict: None, native: None };
        let mut used: Vec<String> = Vec::new();
        if let Some((path, text)) = &self.template {
            let data = |error| Failure::data(Path::new(path), error);
            let templates = AnalysisTemplate::from_yaml(text).map_err(data)?;
            let [template] = templates.as_slice() else {
                let found = templates.len();
                return Err(Failure::data(
                    Path::new(path),
                    format!("{found} templates in it, one is wanted"),
                ));
            };
            let names: Vec<String> = template.spec.args.iter().map(|arg| arg.name.clone()).collect();
            let args: Vec<(&str, &str)> =
                names.iter().filter_map(|name| value(name).map(|value| (name.as_str(), value))).collect();
            let gate = Gate::from_argo(template, &args, Profile::V1_10).map_err(data)?;
            judgement.strict = Some(replay(gate, recorded).map_err(data)?);
            if self.by_evidence {
                let args: Vec<Argument> =
                    args.iter().map(|(name, value)| Argument::new(*name, *value)).collect();
                let gate = Gate::new(GateSpec::from_template(template, &args).map_err(data)?);
                judgement.native = Some(replay(gate, recorded).map_err(data)?);
            }
            used.extend(names);
        }
        if let Some((path, text)) = &self.gate {
            let data = |error| Failure::data(Path::new(path), error);
            let file = GateFile::from_yaml(text).map_err(data)?;
            let names = file.arguments().to_vec();
            let args: Vec<(&str, &str)> =
                names.iter().filter_map(|name| value(name).map(|value| (name.as_str(), value))).collect();
            let gate = Gate::new(file.build(&args).map_err(data)?);
            judgement.native = Some(replay(gate, recorded).map_err(data)?);
            used.extend(names);
        }
        if let Some((unknown, _)) = given.iter().find(|(name, _)| !used.contains(name)) {
            let known = used.join(", ");
            return Err(Failure::Usage(format!("--arg {unknown}: no rule takes it, they take: {known}")));
        }
        Ok(judgement)
    }
}

/// The gate over the recording, with time taken from the gate instead of a clock.
fn replay(mut gate: Gate, recorded: &Recorded) -> promgate::Result<Report> {
    gate.replay(&recorded.series, recorded.start, recorded.end, |_| ())
}
