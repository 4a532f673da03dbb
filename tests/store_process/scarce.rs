//! No room for open files, and little for memory.

use std::fs::File;

use promgate::{
    Error, ErrorKind, Health, Labels, Sample, SelectRequest, Source, Store, StoreOptions, Timestamp, Window,
};

use crate::child::{command, folder, succeeded};
use crate::workload::{Batches, Model, open};

#[test]
fn without_room_for_open_files_a_store_says_so_and_goes_on_when_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let wrapper = ["sh", "-c", "ulimit -n 48 && exec \"$0\" \"$@\""];
    print!("{}", succeeded(command(&wrapper, "handles", folder.path()).output().unwrap()));
}

fn says_so(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains("allow the process more open files"), "{error}");
}

fn take_handles() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

pub(crate) fn without_handles() {
    let path = folder();
    let mut model = Model::default();
    let mut number = 0;
    let (mut commits, mut upkeep) = (0, 0);
    for life in 0..2 {
        let store = open(&path).unwrap();
        let mut batches = Batches::new(&store);
        for round in 0..4 {
            let taken = if round % 2 == 1 { take_handles() } else { Vec::new() };
            if let Err(error) = store.flush() {
                assert!(!taken.is_empty(), "life {life}, round {round}: {error}");
                says_so(&error);
                upkeep += 1;
            }
            for _ in 0..250 {
                match batches.append(number) {
                    Ok(_) => number += 1,
                    Err(error) => {
                        assert!(!taken.is_empty(), "life {life}, round {round}: {error}");
                        says_so(&error);
                        commits += 1;
                    }
                }
                if let Err(error) = store.maintain() {
                    assert!(!taken.is_empty(), "life {life}, round {round}: {error}");
                    says_so(&error);
                    upkeep += 1;
                }
            }
            assert_eq!(store.health(), Health::Good, "life {life}, round {round}");
            assert_eq!(model.prefix(&store.snapshot()), Ok(number), "life {life}, round {round}");
        }
        drop((store, batches));
        let taken = take_handles();
        says_so(&open(&path).unwrap_err());
        says_so(&Store::open_read_only(&path, StoreOptions::new()).unwrap_err());
        // Enough for the lock and the folders, and then not for a file.
        for free in 1..8 {
            let mut taken = take_handles();
            taken.truncate(taken.len().saturating_sub(free));
            if let Err(error) = open(&path) {
                says_so(&error);
            }
        }
        drop(taken);
    }
    let store = open(&path).unwrap();
    store.verify().unwrap();
    assert_eq!(model.prefix(&store.snapshot()), Ok(number));
    assert!(commits > 0 && upkeep > 0, "refused: {commits} commits, {upkeep} steps of upkeep");
    println!(
        "\n{number} batches; {commits} commits and {upkeep} steps of upkeep found no room for an open file"
    );
}

#[test]
fn little_memory_ends_in_success_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let wrapper: &[&str] = &["prlimit", "--as=536870912"];
    let probe = std::process::Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").status();
    let wrapper = if probe.is_ok_and(|status| status.success()) {
        wrapper
    } else {
        println!("prlimit is missing: tried with all the memory there is");
        &[]
    };
    let (path, wide) = (folder.path().join("rows"), folder.path().join("series"));
    let mut writer = command(wrapper, "writer", &path);
    let said = succeeded(writer.env("STORE_UNTIL", "2000").output().unwrap());
    assert!(said.contains("ack 2000.") && !said.contains("error"), "{said}");
    let mut check = command(wrapper, "check", &path);
    let said = succeeded(check.env("STORE_ACKED", "2000").output().unwrap());
    assert!(said.contains("holds 2000."), "{said}");
    print!("{}", succeeded(command(wrapper, "series", &wide).output().unwrap()));
}

/// 20,000 series, at first within the limits of a store, then beyond any.
pub(crate) fn many_series() {
    const SERIES: usize = 20_000;
    let labels: Vec<Labels> = (0..SERIES)
        .map(|number| {
            let number = format!("instance-{number:08}.production.example:9090");
            Labels::from_pairs([("__name__", "up"), ("job", "node"), ("instance", &number)])
        })
        .collect();
    let path = folder();
    let store = Store::open(&path, StoreOptions::new()).unwrap();
    let mut handles = Vec::with_capacity(SERIES);
    let mut taken = 0_u64;
    for scrape in 0..200_i64 {
        let mut appender = store.appender();
        if handles.is_empty() {
            for labels in &labels {
                handles.push(appender.handle(labels).unwrap());
            }
        }
        for (number, handle) in handles.iter().enumerate() {
            let value = (number as f64) * 1.000_1 + scrape as f64;
            let sample = Sample::float(Timestamp::from_millis(1 + scrape * 15_000), value);
            appender.append_to(handle, sample).unwrap();
        }
        match appender.commit() {
            Ok(report) => taken += report.appended as u64,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Limit | ErrorKind::Full), "{error}");
                println!("scrape {scrape} is refused: {error}");
                break;
            }
        }
        store.maintain().unwrap();
    }
    store.flush().unwrap();
    assert_eq!(store.stats().samples, taken);
    store.close().unwrap();
    drop(store);
    let store = Store::open(&path, StoreOptions::new()).unwrap();
    store.verify().unwrap();
    assert_eq!(store.stats().samples, taken);
    let found = store.snapshot().select(&SelectRequest::new(&[], Window::ALL)).unwrap();
    assert_eq!(found.items.len(), SERIES);
    println!("\n{taken} samples of {SERIES} series");
}
