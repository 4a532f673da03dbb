//! Dates of the proleptic Gregorian calendar in UTC, without leap seconds; how Go reads and prints them, and spans of time.

const NANOS_PER_SECOND: i128 = 1_000_000_000;

const SECONDS_PER_DAY: i64 = 86_400;
/// Years in which the calendar repeats, and their days.
const YEARS_PER_ERA: i64 = 400;
const DAYS_PER_ERA: i64 = 146_097;
/// Days from the first of March of the year 0 to the epoch.
const DAYS_TO_EPOCH: i64 = 719_468;

/// A broken-down instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DateTime {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// 1 to 31.
    pub(crate) day: i64,
    /// 1 to 366.
    pub(crate) day_of_year: i64,
    /// 0 is Sunday.
    pub(crate) day_of_week: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl DateTime {
    /// The date at `seconds` after the epoch, as Go computes it: a float beyond `i64` is -2^63, which wraps to a day
    /// in the year 292277026596.
    pub(crate) fn from_unix_seconds(seconds: f64) -> Self {
        // 2^63 is exactly representable, i64::MAX is not.
        let limit = -(i64::MIN as f64);
        if seconds >= -limit && seconds < limit {
            let seconds = seconds as i64;
            if seconds != i64::MIN {
                return Self::from_seconds(seconds);
            }
        }
        Self {
            year: 292_277_026_596,
            month: 12,
            day: 4,
            day_of_year: 339,
            day_of_week: 0,
            hour: 15,
            minute: 30,
            second: 8,
        }
    }

    /// The date at `seconds` after the epoch.
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let rest = seconds.rem_euclid(SECONDS_PER_DAY);
        // Howard Hinnant's civil_from_days: eras of 400 years that begin on the first of March. Every term is
        // bounded by i64::MAX / 86400, so nothing here can overflow.
        let shifted = days.saturating_add(DAYS_TO_EPOCH);
        let era = shifted.div_euclid(DAYS_PER_ERA);
        let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era.saturating_mul(YEARS_PER_ERA) + year_of_era + i64::from(month <= 2);
        let first_of_month: i64 = (1..month).map(|month| days_in_month(year, month)).sum();
        Self {
            year,
            month,
            day,
            day_of_year: first_of_month + day,
            day_of_week: (days.rem_euclid(7) + 4) % 7,
            hour: rest / 3600,
            minute: rest % 3600 / 60,
            second: rest % 60,
        }
    }

    /// How many days the month of this date has.
    pub(crate) fn days_in_month(self) -> i64 {
        days_in_month(self.year, self.month)
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the epoch of a date of a year of at most four digits (Howard Hinnant's days_from_civil).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year.div_euclid(YEARS_PER_ERA), shifted_year.rem_euclid(YEARS_PER_ERA));
    let day_from_march = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_from_march;
    era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH
}

/// Nanoseconds since the epoch as Go's `Time.String` prints them in UTC: `2006-01-02 15:04:05.123 +0000 UTC`.
pub(crate) fn format_time(nanos: i128) -> String {
    let date = DateTime::from_seconds(i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).unwrap_or(0));
    let fraction = match nanos.rem_euclid(NANOS_PER_SECOND) {
        0 => String::new(),
        fraction => format!(".{fraction:09}").trim_end_matches('0').to_owned(),
    };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}{fraction} +0000 UTC",
        date.year, date.month, date.day, date.hour, date.minute, date.second
    )
}

/// Nanoseconds as Go's `Duration.String` prints them: `1h2m3.5s`.
pub(crate) fn format_go_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let decimal = |value: u64, unit: u64| {
        let width = unit.ilog10() as usize;
        let text = format!("{}.{:0width$}", value / unit, value % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(size, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(size, 1_000_000)),
        _ => {
            let minutes = size / 60_000_000_000;
            let seconds = decimal(size % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// Go's layout of RFC 3339, with or without a fraction of a second.
pub(crate) const RFC_3339: &str = "2006-01-02T15:04:05Z07:00";

/// Reads a time by a layout of Go made of the numbers of a date, of a time, and an offset: nanoseconds since the epoch, or `None`
/// where the text is of another form.
///
/// An error says which layout is not supported.
pub(crate) fn parse_time(text: &str, layout: &str) -> Result<Option<i128>, String> {
    let (mut year, mut month, mut day) = (0, 1, 1);
    let (mut hour, mut minute, mut second, mut offset) = (0, 0, 0, 0);
    let (mut fraction, mut rest, mut layout_rest) = (0i128, text, layout);
    while let Some(next) = layout_rest.chars().next() {
        let element = ["2006", "Z07:00", "01", "02", "15", "04", "05"]
            .into_iter()
            .find(|element| layout_rest.starts_with(element));
        let Some(element) = element else {
            if next.is_alphabetic() && next != 'T' || next.is_ascii_digit() || next == '_' {
                return Err(format!("date layout \"{layout}\" is not supported"));
            }
            let Some(tail) = rest.strip_prefix(next) else { return Ok(None) };
            rest = tail;
            layout_rest = layout_rest.get(next.len_utf8()..).unwrap_or_default();
            continue;
        };
        layout_rest = layout_rest.get(element.len()..).unwrap_or_default();
        if element == "Z07:00" {
            let Some((seconds, tail)) = read_offset(rest) else { return Ok(None) };
            (offset, rest) = (seconds, tail);
            continue;
        }
        let Some((digits, tail)) = rest.split_at_checked(element.len()) else { return Ok(None) };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(None);
        }
        rest = tail;
        let number: i64 = digits.parse().unwrap_or(0);
        match element {
            "2006" => year = number,
            "01" => month = number,
            "02" => day = number,
            "15" => hour = number,
            "04" => minute = number,
            _ => {
                second = number;
                if let Some(tail) = rest.strip_prefix('.').filter(|_| !layout_rest.starts_with('.')) {
                    let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
                    let digits: String = tail.chars().take(end.min(9)).collect();
                    if digits.is_empty() {
                        return Ok(None);
                    }
                    fraction = format!("{digits:0<9}").parse().unwrap_or(0);
                    rest = tail.get(end..).unwrap_or_default();
                }
            }
        }
    }
    let valid = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !rest.is_empty() || !valid {
        return Ok(None);
    }
    let seconds = days(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset;
    Ok(Some(i128::from(seconds) * NANOS_PER_SECOND + fraction))
}

/// Reads `Z` or `+01:30`: seconds east of UTC, and what follows.
fn read_offset(text: &str) -> Option<(i64, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((0, rest));
    }
    let (zone, rest) = text.split_at_checked(6)?;
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let number = |digits: &str| -> Option<i64> {
        if digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            digits.parse().ok()
        } else {
            None
        }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 24 && minutes < 60).then_some((sign * (hours * 3600 + minutes * 60), rest))
}

/// `2024-01-31T00:00:00Z`; fractions of a second are shown if there are any, without trailing zeros.
pub(crate) fn rfc3339(time_ms: i64) -> String {
    let date = DateTime::from_seconds(time_ms / 1000);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year, date.month, date.day, date.hour, date.minute, date.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_dates() {
        let date = DateTime::from_unix_seconds(1_709_210_096.7);
        assert_eq!((date.year, date.month, date.day), (2024, 2, 29));
        assert_eq!((date.hour, date.minute, date.second), (12, 34, 56));
        assert_eq!((date.day_of_week, date.day_of_year, date.days_in_month()), (4, 60, 29));
        let epoch = DateTime::from_seconds(0);
        assert_eq!((epoch.year, epoch.month, epoch.day, epoch.day_of_week), (1970, 1, 1, 4));
        assert_eq!(DateTime::from_seconds(-1).year, 1969);
    }

    #[test]
    fn what_is_no_time_wraps_as_in_go() {
        for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let date = DateTime::from_unix_seconds(seconds);
            assert_eq!((date.year, date.day_of_year, date.hour, date.minute), (292_277_026_596, 339, 15, 30));
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        DateTime::from_seconds(i64::MAX);
        DateTime::from_seconds(i64::MIN);
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn times_are_read_by_their_layout() {
        let second = NANOS_PER_SECOND;
        let read = |text: &str| parse_time(text, RFC_3339).unwrap();
        assert_eq!(read("2024-02-29T12:30:00Z"), Some(1_709_209_800 * second));
        assert_eq!(read("2024-02-29T12:30:00.5+02:00"), Some(1_709_202_600 * second + second / 2));
        assert_eq!(read("1969-12-31T23:59:59Z"), Some(-second));
        for text in [
            "",
            "x",
            "2024-02-30T00:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00++5:00",
            "2024-01-01t00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(parse_time("x", "Monday").unwrap_err().contains("Monday"));
    }

    #[test]
    fn times_and_durations_print_as_in_go() {
        let milli = 1_000_000;
        assert_eq!(format_time(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(format_time(-milli), "1969-12-31 23:59:59.999 +0000 UTC");
        assert_eq!(format_time(1_709_208_000_500 * milli), "2024-02-29 12:00:00.5 +0000 UTC");
        let rows = [
            (0, "0s"),
            (15, "15ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (60_000_000_000, "1m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (3_723_500_000_000, "1h2m3.5s"),
            (-1_010_000_000, "-1.01s"),
        ];
        for (nanos, text) in rows {
            assert_eq!(format_go_duration(nanos), text);
        }
    }
}
