//! The user-request gate on recordings of real canaries: never a pass for a broken one, never a failure for a good one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test reads files and stops at what is wrong"
)]

mod support;

use promgate::argo::{AnalysisTemplate, Profile};
use promgate::{
    Durability, Evidence, Gate, GateSpec, Item, Report, Sample, SampleBuffer, SelectRequest, Source, Store,
    StoreOptions, Timestamp, Verdict, Window,
};
use support::recordings::{Folder, folders};

const GATE: &str = include_str!("../examples/data/user-requests.gate.yaml");

/// Runs the gate as a controller would, from the start of the analysis to the end of the recording.
fn judge(folder: &Folder, start: Timestamp) -> Report {
    let args = [("namespace", folder.namespace.as_str()), ("canary-hash", folder.hash.as_str())];
    let spec = GateSpec::from_yaml(GATE, &args).unwrap();
    let mut gate = Gate::new(spec.clone());
    gate.start(start);
    while let Some(due) = gate.next_due() {
        if due > folder.end {
            gate.terminate(folder.end);
            break;
        }
        let before = gate.state();
        let tick = gate.tick(due, &folder.source).unwrap();
        assert!(tick.measured);
        // A gate that stops and resumes is the same gate.
        let text = before.to_json().unwrap();
        let mut resumed = Gate::resume(spec.clone(), promgate::GateState::from_json(&text).unwrap()).unwrap();
        resumed.tick(due, &folder.source).unwrap();
        assert_eq!(resumed.state(), gate.state(), "{}", folder.name);
    }
    gate.report()
}

#[test]
fn no_broken_canary_passes_and_no_good_one_fails() {
    for folder in folders() {
        // The canary is what it is whenever one begins to look.
        for offset in [-90, -45, -10, 0, 5, 30] {
            let report = judge(&folder, folder.run_start.plus_millis(offset * 1000));
            let wrong = if folder.healthy { Verdict::Fail } else { Verdict::Pass };
            assert_ne!(report.verdict, wrong, "{} from {offset} s: {report}", folder.name);
            assert!(!report.reasons.is_empty());
        }
    }
}

/// The walkthrough's template measures and decides what Argo measured and decided on the recorded Prometheus.
#[test]
fn strict_mode_gives_the_recorded_measurements() {
    let templates = AnalysisTemplate::from_yaml(include_str!("../examples/data/walkthrough.yaml")).unwrap();
    for folder in folders() {
        let args = [("namespace", folder.namespace.as_str()), ("canary-hash", folder.hash.as_str())];
        let mut gate = Gate::from_argo(&templates[0], &args, Profile::V1_10).unwrap();
        gate.start(folder.run_start);
        while let Some(due) = gate.next_due() {
            gate.tick(due, &folder.source).unwrap();
            let again = Gate::resume_argo(&templates[0], &args, Profile::V1_10, gate.state()).unwrap();
            assert!(again.state() == gate.state(), "{} at {due}", folder.name);
        }
        let report = gate.report();
        let seed = folder.expected["seed_gates"].as_object().unwrap();
        let wanted = match seed["run"].as_str().unwrap() {
            "Successful" => Verdict::Pass,
            "Failed" => Verdict::Fail,
            _ => Verdict::Inconclusive,
        };
        assert_eq!(report.verdict, wanted, "{}: {report}", folder.name);
        for check in &report.checks {
            let Evidence::Measurements { newest, .. } = &check.evidence else { panic!("{check}") };
            let wanted = seed[&check.name]["measurements"].as_array().unwrap();
            assert_eq!(newest.len(), wanted.len(), "{}: {check}", folder.name);
            for (found, wanted) in newest.iter().zip(wanted) {
                let offset = found.started_at.millis_since(folder.run_start) / 1000;
                assert_eq!(Some(offset), wanted[0].as_i64(), "{}: {check}", folder.name);
                assert_eq!(
                    found.value,
                    format!("[{}]", wanted[1].as_str().unwrap()),
                    "{}: {check}",
                    folder.name
                );
                assert_eq!(Some(found.phase.as_str()), wanted[2].as_str(), "{}: {check}", folder.name);
            }
        }
    }
}

/// Appends everything that a source has, series by series.
fn copy(source: &dyn Source, store: &Store) {
    let mut samples = SampleBuffer::default();
    for item in source.select(&SelectRequest::new(&[], Window::ALL)).unwrap().items {
        let Item::Series(series) = item else { panic!("a family that nobody asked for") };
        samples.clear();
        series.read(Window::ALL, &mut samples).unwrap();
        let mut appender = store.appender();
        for (time, value) in samples.times.iter().zip(&samples.values) {
            appender.append(series.labels(), Sample::float(Timestamp::from_millis(*time), *value)).unwrap();
        }
        assert!(appender.commit().unwrap().refused.is_empty());
    }
}

/// Bytes of all files in a folder.
fn bytes_in(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let size = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        meta if meta.is_dir() => bytes_in(&entry.path()),
        meta => meta.len(),
    };
    entries.map(size).sum()
}

/// What both modes of a gate learn from a source, to the last bit.
fn learned(folder: &Folder, source: &dyn Source) -> (Verdict, Verdict, String) {
    let args = [("namespace", folder.namespace.as_str()), ("canary-hash", folder.hash.as_str())];
    let templates = AnalysisTemplate::from_yaml(include_str!("../examples/data/walkthrough.yaml")).unwrap();
    let native = Gate::new(GateSpec::from_yaml(GATE, &args).unwrap());
    let strict = Gate::from_argo(&templates[0], &args, Profile::V1_10).unwrap();
    let [native, strict] = [native, strict].map(|mut gate| {
        let mut looks = 0;
        let report = gate.replay(source, folder.run_start, folder.end, |_| looks += 1).unwrap();
        assert!(looks > 0 && gate.next_due().is_none());
        (report.verdict, gate.state().to_json().unwrap() + &report.to_string())
    });
    (native.0, strict.0, native.1 + &strict.1)
}

#[test]
fn a_store_on_disk_that_was_closed_and_opened_gives_the_same_verdicts() {
    for folder in folders() {
        let disk = tempfile::tempdir().unwrap();
        let store = Store::open(disk.path(), StoreOptions::new().durability(Durability::Never)).unwrap();
        copy(&folder.source, &store);
        store.close().unwrap();
        drop(store);
        let store = Store::open(disk.path(), StoreOptions::new()).unwrap();
        assert!(store.losses().is_empty());
        // From the log, and then from what it is sealed into.
        let memory = learned(&folder, &folder.source);
        assert_eq!(learned(&folder, &store.snapshot()), memory, "{}", folder.name);
        let log = bytes_in(disk.path());
        store.flush().unwrap();
        assert_eq!(learned(&folder, &store.snapshot()), memory, "{}", folder.name);
        let samples = store.stats().samples;
        store.close().unwrap();
        drop(store);
        let store = Store::open(disk.path(), StoreOptions::new()).unwrap();
        assert_eq!(learned(&folder, &store.snapshot()), memory, "{}", folder.name);
        assert_eq!(store.stats().samples, samples);
        let bytes = bytes_in(disk.path());
        println!(
            "{}: native {}, strict {}; {samples} samples on disk, everything counted: {:.3} bytes each, {:.3} before sealing",
            folder.name,
            memory.0,
            memory.1,
            bytes as f64 / samples as f64,
            log as f64 / samples as f64
        );
    }
}

#[test]
fn a_gate_on_an_empty_store_is_inconclusive() {
    let spec = GateSpec::from_yaml(GATE, &[("namespace", "n"), ("canary-hash", "h")]).unwrap();
    let mut gate = Gate::new(spec);
    gate.start(Timestamp::from_secs(1_000));
    let source = Store::in_memory(StoreOptions::new()).snapshot();
    for second in [1_000, 1_010, 1_100, 2_000] {
        gate.tick(Timestamp::from_secs(second), &source).unwrap();
    }
    let report = gate.report();
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(report.because().contains("has never been received"), "{report}");
}
