//! Whole rollouts, played as Argo's controller walked through them.

use std::collections::BTreeMap;

use promgate::argo::Phase;
use promgate::rollout::{Rollout, RolloutCommand, RolloutSpec, RunPurpose};
use promgate::{Mode, Timestamp};
use serde_json::{Value, json};

/// Nothing in the cases happens after this second.
const END: i64 = 3600;

/// Whether the machine walks through a case as Argo's controller did.
pub(crate) fn is_played(case: &Value) -> Result<(), String> {
    let found = Play::new(case).play(case);
    same(&found, case["expect"].as_array().unwrap())
}

fn same(found: &[Value], expected: &[Value]) -> Result<(), String> {
    for index in 0..found.len().max(expected.len()) {
        if found.get(index) != expected.get(index) {
            let line = |states: &[Value]| states.get(index).map_or("nothing".to_owned(), Value::to_string);
            return Err(format!("state {index}\nexpected {}\nfound    {}", line(expected), line(found)));
        }
    }
    Ok(())
}

/// A rollout with a cluster around it that does at once what it is asked for.
struct Play {
    rollout: Rollout,
    never_available: Vec<String>,
    /// By step index or `background`, how its runs end.
    outcomes: BTreeMap<String, Vec<Value>>,
    /// How runs end that have begun, and when: name, second, phase, message.
    ends: Vec<(String, i64, String, String)>,
    begun: BTreeMap<String, usize>,
    states: Vec<Value>,
    /// Runs that were made in the same second have no order.
    runs_by_name: bool,
}

impl Play {
    fn new(case: &Value) -> Self {
        let mut spec = json!({"replicas": case["replicas"], "strategy": case["strategy"]});
        for (key, value) in case["spec"].as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let manifest = json!({"kind": "Rollout", "metadata": {"name": "checkout"}, "spec": spec});
        let spec = RolloutSpec::from_json(&manifest.to_string()).unwrap();
        let names = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().map(|name| text(name).to_owned()).collect()
        };
        let outcomes = case["analysis_outcomes"].as_object().into_iter().flatten();
        Self {
            rollout: Rollout::new(spec, Mode::Strict).unwrap(),
            never_available: names(&case["images_never_available"]),
            outcomes: outcomes.map(|(key, list)| (key.clone(), list.as_array().unwrap().clone())).collect(),
            ends: Vec::new(),
            begun: BTreeMap::new(),
            states: Vec::new(),
            runs_by_name: case["runs_by_name"] == true,
        }
    }

    fn play(mut self, case: &Value) -> Vec<Value> {
        self.rollout.deploy(Timestamp::from_secs(-1000), "app:1").unwrap();
        self.settle(-1000);
        let before = self.states.len();
        let mut actions: Vec<(i64, &str)> = vec![(0, "image:app:2")];
        let given = case["actions"].as_array().into_iter().flatten();
        actions.extend(given.map(|action| (action["at"].as_i64().unwrap(), text(&action["do"]))));
        let mut second = 0;
        loop {
            for (_, action) in actions.iter().filter(|(at, _)| *at == second) {
                self.act(second, action);
            }
            self.settle(second);
            let due = self.rollout.next_due().map(|due| (due.as_millis() + 999).div_euclid(1000));
            let later = actions.iter().map(|(at, _)| *at).filter(|at| *at > second);
            let ends = self.ends.iter().map(|(_, at, ..)| *at).filter(|at| *at > second);
            match due.into_iter().chain(later).chain(ends).min().filter(|next| *next <= END) {
                Some(next) => second = next,
                None => return self.states.split_off(before),
            }
        }
    }

    fn act(&mut self, second: i64, action: &str) {
        let now = Timestamp::from_secs(second);
        if let Some(image) = action.strip_prefix("image:") {
            self.rollout.deploy(now, image).unwrap();
            return;
        }
        let pods = |prefix| action.strip_prefix(prefix).map(str::to_owned);
        if let Some(image) = pods("break:") {
            self.never_available.push(image);
            self.follow(second);
            self.note(second);
            return;
        }
        if let Some(image) = pods("heal:") {
            self.never_available.retain(|broken| *broken != image);
            self.follow(second);
            self.note(second);
            return;
        }
        let command = match action {
            "promote" => RolloutCommand::Promote,
            "promote-full" => RolloutCommand::PromoteFull,
            "skip-all" => RolloutCommand::SkipAllSteps,
            "abort" => RolloutCommand::Abort,
            "retry" => RolloutCommand::Retry,
            "clear-pause" => RolloutCommand::Resume,
            "pause" => RolloutCommand::Pause,
            "unpause" => RolloutCommand::Unpause,
            other => panic!("unknown action {other}"),
        };
        // What acts on nothing is refused, where Argo's tool writes what changes nothing.
        if self.rollout.command(now, command).is_ok() {
            self.note(second);
        }
    }

    /// Ticks until nothing changes at this second.
    fn settle(&mut self, second: i64) {
        let now = Timestamp::from_secs(second);
        for (run, _, phase_name, message) in self.ends.extract_if(.., |(_, at, ..)| *at <= second) {
            self.rollout.judge(&run, phase(&phase_name), &message).unwrap();
        }
        self.note(second);
        while self.rollout.next_due().is_some_and(|due| due <= now) {
            self.rollout.tick(now).unwrap();
            self.follow(second);
            self.note(second);
        }
    }

    /// The cluster makes the pods, the analysis controller the runs.
    fn follow(&mut self, second: i64) {
        for set in self.rollout.replica_sets().to_vec() {
            let available = if self.never_available.contains(&set.version) { 0 } else { set.wanted };
            self.rollout.observe(&set.version, set.wanted, available).unwrap();
        }
        for run in self.rollout.runs().to_vec() {
            if run.terminate && !run.phase.is_completed() {
                self.ends.retain(|(name, ..)| *name != run.name);
                self.rollout.judge(&run.name, phase("Successful"), "Run Terminated").unwrap();
            } else if run.phase == phase("Pending") {
                self.rollout.judge(&run.name, phase("Running"), "").unwrap();
                let key = match run.purpose {
                    RunPurpose::Step(index) => index.to_string(),
                    other => purpose(other),
                };
                let list = &self.outcomes[&key];
                let nth = self.begun.entry(key).or_default();
                let end = &list[(*nth).min(list.len() - 1)];
                *nth += 1;
                let after = end["after"].as_i64().unwrap();
                if after >= 0 {
                    let (phase, message) = (text(&end["phase"]).to_owned(), text(&end["message"]).to_owned());
                    self.ends.push((run.name.clone(), second + after, phase, message));
                }
            }
        }
    }

    /// Of several states of one second with the same step and abort flag only the last is kept.
    fn note(&mut self, second: i64) {
        let state = self.state(second);
        let differs = |key: &str, earlier: &Value| earlier[key] != state[key];
        let before = self.states.last();
        let unchanged = before.is_some_and(|earlier| {
            let keys = state.as_object().unwrap().keys();
            keys.filter(|key| *key != "at").all(|key| !differs(key, earlier))
        });
        if unchanged {
            return;
        }
        if before.is_some_and(|earlier| {
            !["at", "step", "aborted", "active"].iter().any(|key| differs(key, earlier))
        }) {
            self.states.pop();
        }
        self.states.push(state);
    }

    fn state(&self, second: i64) -> Value {
        let rollout = &self.rollout;
        let stable = rollout.stable();
        let pods = |is_stable: bool| -> i64 {
            let sets = rollout.replica_sets().iter();
            sets.filter(|set| (stable == Some(&set.version)) == is_stable).map(|set| set.wanted).sum()
        };
        let runs = rollout.runs().iter().map(|run| {
            let purpose = purpose(run.purpose);
            let attempt = if run.attempt > 0 { format!(".{}", run.attempt) } else { String::new() };
            let ended = if run.terminate && run.phase.is_completed() { " (terminated)" } else { "" };
            format!("{purpose}{attempt} of {}: {}{ended}", run.version, run.phase)
        });
        let mut runs: Vec<String> = runs.collect();
        if self.runs_by_name {
            runs.sort();
        }
        let mut state = json!({
            "at": second,
            "step": rollout.step(),
            "phase": rollout.phase().to_string(),
            "message": rollout.message().replace("checkout-app:2", "checkout-HASH"),
            "aborted": rollout.is_aborted(),
            "stable": stable,
            "canary_pods": pods(false),
            "stable_pods": pods(true),
            "runs": runs,
        });
        match rollout.active() {
            Some(active) => state["active"] = json!(active),
            None => state["weight"] = json!(rollout.weight()),
        }
        state
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn phase(name: &str) -> Phase {
    serde_json::from_value(json!(name)).unwrap()
}

fn purpose(purpose: RunPurpose) -> String {
    match purpose {
        RunPurpose::Step(index) => format!("step {index}"),
        RunPurpose::PrePromotion => "pre-promotion".to_owned(),
        RunPurpose::PostPromotion => "post-promotion".to_owned(),
        _ => "background".to_owned(),
    }
}
