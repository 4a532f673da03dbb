//! The time that a thread was on a core: other work on the machine disturbs it little.

/// Seconds for which this thread was on a core.
#[cfg(unix)]
pub(crate) fn on_core() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds by the clock, where the system does not tell more.
#[cfg(not(unix))]
pub(crate) fn on_core() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64()
}
