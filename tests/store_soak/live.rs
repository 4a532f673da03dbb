//! More than ten times as much as a controller scrapes, in real time: what a process takes stays.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use promgate::{
    Item, Limits, Matcher, Sample, SampleBuffer, SelectRequest, Source, Store, StoreOptions, Timestamp,
    Window, stale_marker,
};

use crate::traffic::Traffic;

/// Forty pods that are scraped every second: fifteen times what a controller that scrapes them every fifteen seconds takes.
const SERVICES: usize = 10;
const PODS: usize = 4;
const INTERVAL: Duration = Duration::from_secs(1);
/// Scrapes after which a pod is replaced by one that was there before: series that are gone for good stay in memory for a while,
/// which is not what is looked for here.
const ROLL: usize = 5;
/// Every store is past its first segments, and retention has begun to forget.
const WARM: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug)]
struct Look {
    at: f64,
    resident: f64,
    files: usize,
    /// Seconds of the median commit since the look before.
    commit: f64,
}

fn resident_bytes() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// What `y` grows by in a second, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    let (x, y) = (x / count, y / count);
    let of =
        |pick: fn(f64, f64) -> f64| points.iter().map(|point| pick(point.0 - x, point.1 - y)).sum::<f64>();
    of(|x, y| x * y) / of(|x, _| x * x)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn read(store: &Store, stop: &AtomicBool) -> u64 {
    let mut samples = 0;
    let mut buffer = SampleBuffer::default();
    while !stop.load(Ordering::Relaxed) {
        let snapshot = store.snapshot();
        let since = Timestamp::from_millis(now() - 60_000);
        let window = Window::new(since, Timestamp::MAX);
        let matchers = [Matcher::equal("__name__", "requests_total")];
        for item in snapshot.select(&SelectRequest::new(&matchers, window)).unwrap().items {
            let Item::Series(series) = item else { panic!("no histogram was asked for as a whole") };
            buffer.clear();
            series.read(window, &mut buffer).unwrap();
            samples += buffer.times.len() as u64;
        }
        drop(snapshot);
        std::thread::sleep(INTERVAL);
    }
    samples
}

fn write(store: &Store, minutes: u64) -> (Vec<Look>, u64) {
    let start = Instant::now();
    let mut traffic = Traffic::new(SERVICES, PODS);
    let mut gone = VecDeque::new();
    let (mut looks, mut commits, mut samples) = (Vec::new(), Vec::new(), 0);
    for number in 0..minutes as usize * 60 {
        let time = Timestamp::from_millis(now());
        let mut appender = store.appender().now(time);
        if number % ROLL == ROLL - 1 {
            let back = if gone.len() < traffic.pods.len() { None } else { gone.pop_front() };
            let old = traffic.roll(number / ROLL, back);
            for labels in &old.labels {
                appender.append(labels, Sample::float(time, stale_marker())).unwrap();
            }
            gone.push_back(old);
        }
        for pod in &mut traffic.pods {
            pod.scrape();
            for (labels, value) in pod.labels.iter().zip(pod.values()) {
                appender.append(labels, Sample::float(time, *value)).unwrap();
            }
        }
        let began = Instant::now();
        let report = appender.commit().unwrap();
        commits.push(began.elapsed().as_secs_f64());
        assert!(report.durable && report.refused.is_empty(), "{report:?}");
        samples += report.appended as u64;
        if number % 10 == 9 {
            let at = start.elapsed().as_secs_f64();
            let look =
                Look { at, resident: resident_bytes(), files: open_files(), commit: median(&mut commits) };
            looks.push(look);
            commits.clear();
        }
        std::thread::sleep((INTERVAL * (number as u32 + 1)).saturating_sub(start.elapsed()));
    }
    (looks, samples)
}

#[test]
#[ignore = "takes as long as it is told to: `.ci/long soak-live`"]
fn under_load_memory_files_and_commit_time_stay() {
    let minutes = std::env::var("SOAK_MINUTES").map_or(30, |minutes| minutes.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut limits = Limits::default();
    limits.min_free_bytes = 0;
    let options = StoreOptions::new().limits(limits).background(true).retention(Duration::from_secs(180));
    let store = Store::open(folder.path(), options).unwrap();
    let stop = AtomicBool::new(false);
    let ((looks, samples), read) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(&store, &stop));
        let written = write(&store, minutes);
        stop.store(true, Ordering::Relaxed);
        (written, reader.join().unwrap())
    });
    let warm: Vec<Look> = looks.into_iter().filter(|look| look.at > WARM.as_secs_f64()).collect();
    assert!(warm.len() > 8, "{minutes} minutes are too few: the first five do not count");
    let (first, last) = (&warm[..warm.len() / 4], &warm[warm.len() - warm.len() / 4..]);
    // The least: what else the machine does makes a commit longer, never shorter.
    let commit = |looks: &[Look]| looks.iter().map(|look| look.commit).fold(f64::MAX, f64::min);
    let (early, late) = (commit(first), commit(last));
    let grown = slope(&warm.iter().map(|look| (look.at, look.resident)).collect::<Vec<_>>());
    let files = |most: bool| {
        let files = warm.iter().map(|look| look.files);
        if most { files.max().unwrap() } else { files.min().unwrap() }
    };
    println!(
        "{minutes} minutes, {samples} samples of {} series at a time, {read} read beside; resident {:.1} MiB early, {:.1} MiB late, \
         {:.2} MiB/h; {} to {} open files; a commit {:.2} ms early, {:.2} ms late; {:?}",
        SERVICES * PODS * crate::traffic::WIDTH,
        warm[0].resident / f64::from(1 << 20),
        warm[warm.len() - 1].resident / f64::from(1 << 20),
        grown * 3600.0 / f64::from(1 << 20),
        files(false),
        files(true),
        early * 1e3,
        late * 1e3,
        store.stats(),
    );
    store.verify().unwrap();
    assert!(read > 0);
    // A file is open for a moment while a segment is written, one more while the manifest is.
    assert!(files(true) - files(false) <= 4, "open files: see above");
    assert!(late <= early * 1.5 + 0.000_2, "a commit takes longer and longer: see above");
    // Less than a page of every allocator arena cannot be told from nothing.
    let allowed = 1.0 + 0.5 * 3600.0 / (warm[warm.len() - 1].at - warm[0].at);
    assert!(grown * 3600.0 / f64::from(1 << 20) <= allowed, "memory grows: see above");
}
